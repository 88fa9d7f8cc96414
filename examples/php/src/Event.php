<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Http\Fields;

/** Event of a job. Fields that do not apply to the type are null. */
final class Event
{
    /**
     * @param int                 $id       increasing; resume position
     * @param string              $at       RFC 3339 in UTC
     * @param int|null            $position queued: number of jobs ahead in the queue
     * @param int|null            $attempt  started: attempt number, from 1
     * @param int|null            $offset   stdout, stderr: offset of the data in the stream, in bytes
     * @param string|null         $data     stdout, stderr: the output bytes
     * @param bool|null           $rerun    interrupted: whether the job runs again; its earlier output is then void
     * @param Outcome|null        $status   finished: outcome
     * @param int|null            $exitCode finished: the job's exit code, if it exited
     * @param string|null         $message  finished: reason, if the job did not exit
     * @param PlasmException|null $error    failed: cause
     */
    private function __construct(
        public readonly int $id,
        public readonly string $at,
        public readonly EventType $type,
        public readonly ?int $position = null,
        public readonly ?int $attempt = null,
        public readonly ?int $offset = null,
        public readonly ?string $data = null,
        public readonly ?bool $rerun = null,
        public readonly ?Outcome $status = null,
        public readonly ?int $exitCode = null,
        public readonly ?string $message = null,
        public readonly ?PlasmException $error = null,
    ) {
    }

    /**
     * Parses the API's Event.
     *
     * @throws PlasmException `protocol`
     */
    public static function fromFields(Fields $event): self
    {
        $type = $event->enum('type', EventType::class);
        $base = [$event->int('id'), $event->string('at'), $type];
        return match ($type) {
            EventType::Queued => new self(...$base, position: $event->int('position')),
            EventType::Started => new self(...$base, attempt: $event->int('attempt')),
            EventType::Stdout, EventType::Stderr => new self(
                ...$base,
                offset: $event->int('offset'),
                data: self::bytes($event->string('data')),
            ),
            EventType::Interrupted => new self(...$base, rerun: $event->bool('rerun')),
            EventType::Finished => new self(
                ...$base,
                status: $event->enum('status', Outcome::class),
                exitCode: $event->intOrNull('exit_code'),
                message: $event->stringOrNull('message'),
            ),
            EventType::Failed => new self(...$base, error: $event->error('error')),
        };
    }

    /** Whether it is the job's last event. */
    public function isFinal(): bool
    {
        return match ($this->type) {
            EventType::Finished, EventType::Failed => true,
            EventType::Interrupted => $this->rerun === false,
            default => false,
        };
    }

    private static function bytes(string $base64): string
    {
        $bytes = base64_decode($base64, true);
        return $bytes !== false ? $bytes : throw PlasmException::of('protocol', 'Cannot read event: no base64');
    }
}
