<?php

declare(strict_types=1);

namespace Plasm;

/** How a job's events are followed. Times are in milliseconds. */
final class FollowOptions
{
    /** A week: longer than any job may take, and finite. */
    private const LONGEST_MS = 604_800_000;

    /**
     * @param int  $after      only events with a greater id
     * @param bool $follow     false: end when there are no more events yet
     * @param int  $timeoutMs  how long to follow in all
     * @param int  $patienceMs how long to try to reach a daemon that has gone away: time to restart
     */
    public function __construct(
        public readonly int $after = 0,
        public readonly bool $follow = true,
        public readonly int $timeoutMs = self::LONGEST_MS,
        public readonly int $patienceMs = 30_000,
    ) {
    }
}
