<?php

declare(strict_types=1);

namespace Plasm;

/** Options for following a job's events. Times are in milliseconds. */
final class FollowOptions
{
    /** One week: longer than any job, but finite. */
    private const LONGEST_MS = 604_800_000;

    /**
     * @param int  $after      return only events with a greater id
     * @param bool $follow     false: stop after the existing events
     * @param int  $timeoutMs  total time to follow
     * @param int  $reconnectMs time to retry an unreachable daemon, such as during a restart
     */
    public function __construct(
        public readonly int $after = 0,
        public readonly bool $follow = true,
        public readonly int $timeoutMs = self::LONGEST_MS,
        public readonly int $reconnectMs = 30_000,
    ) {
    }
}
