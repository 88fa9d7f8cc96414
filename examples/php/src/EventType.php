<?php

declare(strict_types=1);

namespace Plasm;

/** What can happen to a job. */
enum EventType: string
{
    /** It waits; comes again with the same id when its position changes. */
    case Queued = 'queued';
    case Started = 'started';
    case Stdout = 'stdout';
    case Stderr = 'stderr';
    /** The node stopped while the job ran. */
    case Interrupted = 'interrupted';
    case Finished = 'finished';
    case Failed = 'failed';
}
