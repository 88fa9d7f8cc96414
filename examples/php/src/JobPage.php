<?php

declare(strict_types=1);

namespace Plasm;

/** Page of jobs, newest first. */
final class JobPage
{
    /**
     * @param list<JobStatus> $jobs
     * @param string|null     $next `before` of the next page; null on the last page
     */
    public function __construct(public readonly array $jobs, public readonly ?string $next)
    {
    }
}
