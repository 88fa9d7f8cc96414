<?php

declare(strict_types=1);

namespace Plasm;

/** Resource usage of a job, as reported by the node. */
final class ReceiptUsage
{
    /**
     * @param int $wallTimeMs      wall-clock duration in milliseconds
     * @param int $cpuTimeMs       CPU time of the executor in milliseconds
     * @param int $memoryPeakBytes peak memory of the job in bytes
     */
    public function __construct(
        public readonly int $wallTimeMs,
        public readonly int $cpuTimeMs,
        public readonly int $memoryPeakBytes,
    ) {
    }
}
