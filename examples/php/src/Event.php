<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Http\Fields;

/** Something that happened to a job. Fields that do not belong to the type are null. */
final class Event
{
    /**
     * @param int                 $id       grows; to resume after
     * @param string              $at       RFC 3339 in UTC
     * @param int|null            $position queued: jobs that start before it
     * @param int|null            $attempt  started: which start it is, from 1
     * @param int|null            $offset   stdout, stderr: where the data belongs in the stream, in bytes
     * @param string|null         $data     stdout, stderr: the bytes
     * @param bool|null           $rerun    interrupted: whether it runs again; then forget its output
     * @param Outcome|null        $status   finished: how
     * @param int|null            $exitCode finished: the job's own, where it exited
     * @param string|null         $message  finished: what stopped it, where it did not simply exit
     * @param PlasmException|null $error    failed: why
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
     * Reads the API's Event.
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

    /** Whether it is the last of its job. */
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
