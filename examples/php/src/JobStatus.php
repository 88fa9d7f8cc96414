<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Http\Fields;

/** Status of a job. Times are RFC 3339 in UTC. */
final class JobStatus
{
    /**
     * @param string              $submitter `local`, `local:<label>` or `peer:<peer id>`
     * @param Outcome|null        $status    outcome, once finished
     * @param int|null            $exitCode  the job's exit code, if it exited
     * @param string|null         $message   reason, if the job did not exit
     * @param PlasmException|null $error     cause, if failed or interrupted
     * @param int|null            $position  number of jobs ahead in the queue
     * @param JobTarget|null      $target    remote target; the executing node signs the receipt
     * @param int                 $attempts  number of starts
     * @param list<StackFrame>    $backtrace the innermost calls of a job that trapped, the innermost first
     * @param list<LeftBehind>    $leftBehind files that the job created and did not return, the first 32 of them
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
        public readonly array $leftBehind,
        public readonly array $backtrace,
    ) {
    }

    /**
     * Parses the API's Job.
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
            leftBehind: LeftBehind::listOf($job->objectOrNull('left_behind')),
            backtrace: StackFrame::listOf($job->value('backtrace') === null ? [] : $job->list('backtrace')),
        );
    }
}
