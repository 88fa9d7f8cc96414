<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Http\Fields;

/** Another node on which a job runs; any node found, unless one is named. */
final class JobTarget
{
    /**
     * @param string|null $peer        a peer id, or a multiaddr that ends with one
     * @param string|null $arch        processor architecture, such as x86_64 or aarch64
     * @param int|null    $minMemoryMb what one job may ask for there at least, in MiB
     * @param int|null    $attempts    nodes tried at most; null: the daemon's own number
     */
    public function __construct(
        public readonly ?string $peer = null,
        public readonly ?string $arch = null,
        public readonly ?int $minMemoryMb = null,
        public readonly ?int $attempts = null,
    ) {
    }

    /** Exactly this node: the only target whose receipt {@see JobResult::verifyFrom()} can take. */
    public static function node(FoundNode $node): self
    {
        return new self(peer: $node->peerId);
    }

    /**
     * Reads the API's target of a job.
     *
     * @throws PlasmException `protocol`
     */
    public static function fromFields(Fields $target): self
    {
        return new self(
            peer: $target->has('peer') ? $target->string('peer') : null,
            arch: $target->has('arch') ? $target->string('arch') : null,
            minMemoryMb: $target->has('min_memory_mb') ? $target->int('min_memory_mb') : null,
            attempts: $target->has('attempts') ? $target->int('attempts') : null,
        );
    }

    /** The API's target; an object even where it is empty. */
    public function fields(): \stdClass
    {
        return (object) array_filter([
            'peer' => $this->peer,
            'arch' => $this->arch,
            'min_memory_mb' => $this->minMemoryMb,
            'attempts' => $this->attempts,
        ], static fn (mixed $value): bool => $value !== null);
    }
}
