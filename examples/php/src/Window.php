<?php

declare(strict_types=1);

namespace Plasm;

/** Period in which a job ran, by the verifier's clock; Unix times in milliseconds. */
final class Window
{
    /** Clocks without network time drift by minutes; the nonce detects replayed receipts. */
    public const CLOCK_TOLERANCE_MS = 300_000;

    /**
     * @param int $from        time of submission
     * @param int $to          time when the receipt arrived
     * @param int $toleranceMs tolerated clock error of the node
     */
    public function __construct(
        public readonly int $from,
        public readonly int $to,
        public readonly int $toleranceMs = self::CLOCK_TOLERANCE_MS,
    ) {
    }

    /** Whether a Unix time in milliseconds lies in the period, extended by the tolerance. */
    public function contains(int $time): bool
    {
        return $time >= $this->from - $this->toleranceMs && $time <= $this->to + $this->toleranceMs;
    }
}
