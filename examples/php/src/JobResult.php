<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Http\Transport;

/** Finished job with its output. Untrusted until {@see JobResult::verify()} has returned. */
final class JobResult
{
    /** Manifest that the receipt has been verified against. */
    private ?Manifest $verifiedManifest = null;

    /**
     * Use {@see Client::result()}.
     *
     * @param string $path route of the job
     */
    public function __construct(
        public readonly JobStatus $job,
        public readonly string $stdout,
        public readonly string $stderr,
        public readonly Receipt $receipt,
        private readonly Transport $transport,
        private readonly string $path,
    ) {
    }

    /**
     * Returns the job's output files, which are compared with the receipt before they are returned or written.
     *
     * @throws PlasmException `usage` unless {@see JobResult::verify()} or {@see JobResult::verifyFrom()} has returned
     */
    public function outputs(): OutputFiles
    {
        $manifest = $this->verifiedManifest ?? throw PlasmException::of(
            'usage',
            'Cannot read output files: the receipt has not been verified',
            'Call verify() or verifyFrom() first',
        );
        return new OutputFiles($this->transport, $this->path, $this->receipt, $manifest);
    }

    /**
     * Verifies that the receipt matches this job, this output and the local node.
     *
     * @param Job           $sent   submitted job
     * @param string        $key    node's public key in hex, from a source other than the receipt
     * @param Window|Absent $window period in which the job ran
     *
     * @throws PlasmException `bad-receipt`; `details.field` names the first invalid field
     */
    public function verify(Job $sent, string $key, Window|Absent $window = Absent::Value): Receipt
    {
        return $this->verifyAs($sent, new Expectations(
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
     * Verifies that the receipt matches this job, this output and the node it was sent to. The executing node
     * assigned a job id that is unknown here; the nonce identifies the job.
     *
     * @param Job           $sent   submitted job
     * @param FoundNode     $node   node that it was submitted to, see {@see JobTarget::node()}
     * @param Window|Absent $window period in which the job ran
     *
     * @throws PlasmException `bad-receipt`; `details.field` names the first invalid field
     */
    public function verifyFrom(Job $sent, FoundNode $node, Window|Absent $window = Absent::Value): Receipt
    {
        return $this->verifyAs($sent, new Expectations(
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

    private function verifyAs(Job $sent, Expectations $expected): Receipt
    {
        $receipt = $this->receipt->verify($expected);
        $this->verifiedManifest = $sent->manifest;
        return $receipt;
    }
}
