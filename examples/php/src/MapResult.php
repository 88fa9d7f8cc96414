<?php

declare(strict_types=1);

namespace Plasm;

/** What became of one job of {@see Client::map()}. */
final class MapResult
{
    /**
     * Use {@see Client::map()}.
     *
     * @param JobResult|null      $result   verified result; null if there is none
     * @param PlasmException|null $error    why there is no result
     * @param int                 $attempts number of submissions
     */
    public function __construct(
        public readonly Job $job,
        public readonly ?JobResult $result,
        public readonly ?PlasmException $error,
        public readonly int $attempts,
    ) {
    }

    /** Whether the job exited with 0. */
    public function succeeded(): bool
    {
        return $this->result?->job->exitCode === 0;
    }
}
