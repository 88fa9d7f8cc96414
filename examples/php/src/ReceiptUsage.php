<?php

declare(strict_types=1);

namespace Plasm;

/** What a job used, as the node says. */
final class ReceiptUsage
{
    /**
     * @param int $wallTimeMs      from start to end, in milliseconds
     * @param int $cpuTimeMs       CPU time of the process around the job, in milliseconds
     * @param int $memoryPeakBytes memory of the job at its largest, in bytes
     */
    public function __construct(
        public readonly int $wallTimeMs,
        public readonly int $cpuTimeMs,
        public readonly int $memoryPeakBytes,
    ) {
    }
}
