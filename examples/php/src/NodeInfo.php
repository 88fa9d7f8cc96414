<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Http\Fields;

/** Identity, ceilings and load of a node. */
final class NodeInfo
{
    /**
     * @param string             $publicKey    Ed25519 public key in hex; receipts are pinned to it
     * @param list<mixed>        $capabilities features that jobs may request
     * @param array<string, int> $ceilings     limits per job, in the manifest's units
     * @param array<string, int> $load         queued and running jobs, memory
     * @param bool               $hasNetwork   whether the network is enabled
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
     * Parses the API's Node.
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
