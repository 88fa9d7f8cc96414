<?php

declare(strict_types=1);

namespace Plasm;

/** A finished job with its output. Nothing is verified before {@see JobResult::verify()} has returned. */
final class JobResult
{
    public function __construct(
        public readonly JobStatus $job,
        public readonly string $stdout,
        public readonly string $stderr,
        public readonly Receipt $receipt,
    ) {
    }

    /**
     * Checks that the receipt of a job of the daemon's own speaks of exactly this job, these bytes and this node.
     *
     * @param Job           $sent   what was submitted
     * @param string        $key    public key of the node, in hex, known from elsewhere than the receipt
     * @param Window|Absent $window when the job can have run
     *
     * @throws PlasmException `bad-receipt`; `details.field` names the first field that is wrong
     */
    public function verify(Job $sent, string $key, Window|Absent $window = Absent::Value): Receipt
    {
        return $this->receipt->verify(new Expectations(
            key: $key,
            jobId: $this->job->id,
            nonce: $sent->nonce,
            manifest: $sent->manifest,
            module: $sent->module->hash,
            stdin: $sent->stdin->hash,
            stdout: $this->stdout,
            stderr: $this->stderr,
            window: $window,
        ));
    }

    /**
     * Checks that the receipt speaks of exactly this job, these bytes and the node that it was sent to. The job has
     * an id of that node, unknown here: the nonce identifies it.
     *
     * @param Job           $sent   what was submitted
     * @param FoundNode     $node   the node that it was submitted for, see {@see JobTarget::node()}
     * @param Window|Absent $window when the job can have run
     *
     * @throws PlasmException `bad-receipt`; `details.field` names the first field that is wrong
     */
    public function verifyFrom(Job $sent, FoundNode $node, Window|Absent $window = Absent::Value): Receipt
    {
        return $this->receipt->verify(new Expectations(
            key: $node->publicKey,
            peerId: $node->peerId,
            nonce: $sent->nonce,
            manifest: $sent->manifest,
            module: $sent->module->hash,
            stdin: $sent->stdin->hash,
            stdout: $this->stdout,
            stderr: $this->stderr,
            window: $window,
        ));
    }
}
