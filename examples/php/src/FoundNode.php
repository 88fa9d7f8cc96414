<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Document\CapabilityVerifier;
use Plasm\Http\Fields;

/** Discovered node. Its capability document is signed by $publicKey. */
final class FoundNode
{
    /**
     * @param string             $peerId    libp2p peer id; derived from the key
     * @param string             $publicKey Ed25519 public key in hex; its receipts are pinned to it
     * @param float              $latencyMs round trip of the request for the document
     * @param float              $score     0 to 1: fit, latency and past behaviour; higher is better
     * @param string             $transport such as tcp or quic
     * @param string             $path      direct or relayed
     * @param list<mixed>        $wasi      WASI levels, such as preview1
     * @param list<mixed>        $features  WebAssembly proposals, such as simd
     * @param int                $cpuCores  cores available to jobs
     * @param int                $memoryMb  memory available to all jobs together, in MiB
     * @param array<string, int> $limits    ceilings per job
     */
    private function __construct(
        public readonly string $peerId,
        public readonly string $publicKey,
        public readonly float $latencyMs,
        public readonly float $score,
        public readonly string $transport,
        public readonly string $path,
        public readonly Runtime $runtime,
        public readonly array $wasi,
        public readonly array $features,
        public readonly int $cpuCores,
        public readonly int $memoryMb,
        public readonly array $limits,
    ) {
    }

    /**
     * Parses the API's FoundNode. The daemon has checked the document's times and sequence; schema, key and signature
     * are checked again here, because receipts are verified against the key.
     *
     * @throws PlasmException `protocol`; `details.field` names the invalid field
     */
    public static function fromFields(Fields $node): self
    {
        $peerId = $node->string('peer_id');
        $document = $node->value('capability');
        CapabilityVerifier::check($document, $peerId);
        $capability = new Fields($document, 'capability');
        $runtime = $capability->object('runtime');
        return new self(
            peerId: $peerId,
            publicKey: $capability->object('node')->string('public_key'),
            latencyMs: $node->number('latency_ms'),
            score: $node->number('score'),
            transport: $node->string('transport'),
            path: $node->string('path'),
            runtime: new Runtime(
                $runtime->string('name'),
                $runtime->string('version'),
                $runtime->string('engine'),
                $runtime->string('arch'),
            ),
            wasi: $capability->list('wasi'),
            features: $capability->list('features'),
            cpuCores: $capability->int('cpu_cores'),
            memoryMb: $capability->int('memory_mb'),
            limits: $capability->object('limits')->integers(),
        );
    }
}
