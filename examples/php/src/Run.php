<?php

declare(strict_types=1);

namespace Plasm;

/** What only the node that ran the job knows. */
final class Run
{
    public readonly string $jobId;
    public readonly string $nonce;

    /** Hash of the claim's canonical JSON. */
    public readonly string $claimHash;

    public readonly ReceiptUsage $usage;

    /** RFC 3339 in UTC. */
    public readonly string $startedAt;

    /** RFC 3339 in UTC. */
    public readonly string $finishedAt;

    public readonly Runtime $runtime;
    public readonly ReceiptNode $node;

    /** Public key in hex of the client that signed the offer, if it did. */

    /** @param \stdClass $document matches the schema */
    public function __construct(\stdClass $document)
    {
        $this->jobId = $document->job_id;
        $this->nonce = $document->nonce;
        $this->claimHash = $document->claim_hash;
        $this->usage = new ReceiptUsage(
            $document->usage->wall_time_ms,
            $document->usage->cpu_time_ms,
            $document->usage->memory_peak_bytes,
        );
        $this->startedAt = $document->started_at;
        $this->finishedAt = $document->finished_at;
        $this->runtime = new Runtime(
            $document->runtime->name,
            $document->runtime->version,
            $document->runtime->engine,
            $document->runtime->arch,
        );
        $this->node = new ReceiptNode($document->node->peer_id, $document->node->public_key);
    }
}
