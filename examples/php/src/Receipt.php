<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Document\CanonicalJson;
use Plasm\Document\Json;
use Plasm\Document\ReceiptTimes;
use Plasm\Document\ReceiptVerifier;
use Plasm\Document\Schema;

/**
 * A receipt, format 0.1: what a node says it ran and with which result. Its form is known to be right; that it is
 * true is not, before {@see Receipt::verify()} has returned.
 */
final class Receipt
{
    /** Largest receipt, as JSON, in bytes: some thirty times a usual one. */
    public const MAX_BYTES = 65536;

    /** Keeps a signature under a receipt from being one under anything else. */
    private const DOMAIN = "plasm-receipt-v0.1\n";

    /**
     * @param Measured $stdout hash and length of standard output
     * @param Measured $stderr hash and length of standard error
     * @param int|null $exitCode the job's own, where it exited
     * @param string   $startedAt RFC 3339 in UTC, as $finishedAt
     * @param string   $signature 128 lowercase hex digits
     */
    private function __construct(
        private readonly \stdClass $document,
        public readonly string $jobId,
        public readonly string $nonce,
        public readonly string $manifestHash,
        public readonly string $moduleHash,
        public readonly string $stdinHash,
        public readonly Measured $stdout,
        public readonly Measured $stderr,
        public readonly Outcome $status,
        public readonly ?int $exitCode,
        public readonly ReceiptUsage $usage,
        public readonly string $startedAt,
        public readonly string $finishedAt,
        public readonly Runtime $runtime,
        public readonly ReceiptNode $node,
        public readonly string $signature,
    ) {
    }

    /**
     * Reads a receipt's JSON.
     *
     * @throws PlasmException `bad-receipt` when it is not JSON, over {@see Receipt::MAX_BYTES} or does not follow
     *                        the schema; `details.field` names the first field that is wrong
     */
    public static function parse(string $json): self
    {
        $it = Json::parse($json, self::MAX_BYTES, 'bad-receipt', 'receipt');
        Schema::named('receipt')->check($it, 'bad-receipt', 'Cannot trust receipt');
        return new self(
            document: $it,
            jobId: $it->job_id,
            nonce: $it->nonce,
            manifestHash: $it->manifest_hash,
            moduleHash: $it->module_hash,
            stdinHash: $it->stdin_hash,
            stdout: new Measured(Hash::parse($it->stdout_hash), $it->stdout_bytes),
            stderr: new Measured(Hash::parse($it->stderr_hash), $it->stderr_bytes),
            status: Outcome::from($it->status),
            exitCode: $it->exit_code,
            usage: new ReceiptUsage(
                $it->usage->wall_time_ms,
                $it->usage->cpu_time_ms,
                $it->usage->memory_peak_bytes,
            ),
            startedAt: $it->started_at,
            finishedAt: $it->finished_at,
            runtime: new Runtime(
                $it->runtime->name,
                $it->runtime->version,
                $it->runtime->engine,
                $it->runtime->arch,
            ),
            node: new ReceiptNode($it->node->peer_id, $it->node->public_key),
            signature: $it->signature,
        );
    }

    /**
     * Verifies the receipt against what is known and returns it. Checks, in this order: signature, that the
     * peer id follows from the key, the pinned node, job id, nonce, manifest, module, standard input, hash and
     * length of the output received, and times.
     *
     * @throws PlasmException `bad-receipt`; `details.field` names the first field that is wrong
     */
    public function verify(Expectations $expected): self
    {
        ReceiptVerifier::check($this, $expected);
        return $this;
    }

    /**
     * Checks only that the receipt is in one piece: signature, peer id and times. It says nothing about who
     * signed it, nor about which job.
     *
     * @throws PlasmException `bad-receipt`, as {@see Receipt::verify()}
     */
    public function verifyUnpinned(): self
    {
        ReceiptVerifier::checkSignature($this);
        ReceiptTimes::check($this);
        return $this;
    }

    /** The bytes that the signature is over. */
    public function signedBytes(): string
    {
        $unsigned = clone $this->document;
        unset($unsigned->signature);
        return self::DOMAIN . CanonicalJson::encode($unsigned);
    }

    /** The whole receipt as canonical JSON, to keep. */
    public function toJson(): string
    {
        return CanonicalJson::encode($this->document);
    }
}
