<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Http\Fields;

/** What the daemon says about a job. Times are RFC 3339 in UTC. */
final class JobStatus
{
    /**
     * @param string              $submitter `local`, `local:<label>` or `peer:<peer id>`
     * @param Outcome|null        $status    how it ended, once finished
     * @param int|null            $exitCode  the job's own, where it exited
     * @param string|null         $message   what stopped it, where it did not simply exit
     * @param PlasmException|null $error     why there is no result, once failed or interrupted
     * @param int|null            $position  jobs that start before it, while it is queued
     * @param JobTarget|null      $target    where else it runs; its receipt is then signed there
     * @param int                 $attempts  how often it was started
     */
    private function __construct(
        public readonly string $id,
        public readonly string $submitter,
        public readonly JobState $state,
        public readonly ?Outcome $status,
        public readonly ?int $exitCode,
        public readonly ?string $message,
        public readonly ?PlasmException $error,
        public readonly ?int $position,
        public readonly Priority $priority,
        public readonly string $manifestHash,
        public readonly string $moduleHash,
        public readonly ?string $stdinHash,
        public readonly string $nonce,
        public readonly ?JobTarget $target,
        public readonly int $attempts,
        public readonly string $createdAt,
        public readonly ?string $startedAt,
        public readonly ?string $finishedAt,
        public readonly int $stdoutBytes,
        public readonly int $stderrBytes,
    ) {
    }

    /**
     * Reads the API's Job.
     *
     * @throws PlasmException `protocol`
     */
    public static function fromFields(Fields $job): self
    {
        $target = $job->objectOrNull('target');
        return new self(
            id: $job->string('id'),
            submitter: $job->string('submitter'),
            state: $job->enum('state', JobState::class),
            status: $job->enumOrNull('status', Outcome::class),
            exitCode: $job->intOrNull('exit_code'),
            message: $job->stringOrNull('message'),
            error: $job->error('error'),
            position: $job->intOrNull('position'),
            priority: $job->enum('priority', Priority::class),
            manifestHash: $job->string('manifest_hash'),
            moduleHash: $job->string('module_hash'),
            stdinHash: $job->stringOrNull('stdin_hash'),
            nonce: $job->string('nonce'),
            target: $target === null ? null : JobTarget::fromFields($target),
            attempts: $job->int('attempts'),
            createdAt: $job->string('created_at'),
            startedAt: $job->stringOrNull('started_at'),
            finishedAt: $job->stringOrNull('finished_at'),
            stdoutBytes: $job->int('stdout_bytes'),
            stderrBytes: $job->int('stderr_bytes'),
        );
    }
}
