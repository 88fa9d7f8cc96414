<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Http\Fields;

/** Who a node is, what it allows and what it is doing. */
final class NodeInfo
{
    /**
     * @param string             $publicKey    Ed25519 public key, in hex: what receipts are pinned to
     * @param list<mixed>        $capabilities what jobs may ask for
     * @param array<string, int> $ceilings     the most one job may ask for, in the manifest's units
     * @param array<string, int> $load         queued and running jobs, memory
     * @param bool               $hasNetwork   whether it takes part in the network
     */
    private function __construct(
        public readonly string $peerId,
        public readonly string $publicKey,
        public readonly Runtime $runtime,
        public readonly array $capabilities,
        public readonly array $ceilings,
        public readonly array $load,
        public readonly bool $hasNetwork,
    ) {
    }

    /**
     * Reads the API's Node.
     *
     * @throws PlasmException `protocol`
     */
    public static function fromFields(Fields $node): self
    {
        $runtime = $node->object('runtime');
        return new self(
            peerId: $node->string('peer_id'),
            publicKey: $node->string('public_key'),
            runtime: new Runtime(
                $runtime->string('name'),
                $runtime->string('version'),
                $runtime->string('engine'),
                $runtime->string('arch'),
            ),
            capabilities: $node->list('capabilities'),
            ceilings: $node->object('ceilings')->integers(),
            load: $node->object('load')->integers(),
            hasNetwork: $node->objectOrNull('network') !== null,
        );
    }
}
