<?php

declare(strict_types=1);

namespace Plasm;

/** When a job can have run, by the verifier's clock; Unix times in milliseconds. */
final class Window
{
    /** Clocks without network time drift by minutes; a replayed receipt is caught by its nonce. */
    public const CLOCK_TOLERANCE_MS = 300_000;

    /**
     * @param int $from        when the job was offered
     * @param int $to          when its receipt had come
     * @param int $toleranceMs how wrong the node's clock may be
     */
    public function __construct(
        public readonly int $from,
        public readonly int $to,
        public readonly int $toleranceMs = self::CLOCK_TOLERANCE_MS,
    ) {
    }

    /** Whether a Unix time in milliseconds lies within, give or take the tolerance. */
    public function contains(int $time): bool
    {
        return $time >= $this->from - $this->toleranceMs && $time <= $this->to + $this->toleranceMs;
    }
}
