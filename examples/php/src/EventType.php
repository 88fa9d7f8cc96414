<?php

declare(strict_types=1);

namespace Plasm;

/** Type of a job event. */
enum EventType: string
{
    /** The job waits; repeated with the same id when its position changes. */
    case Queued = 'queued';
    case Started = 'started';
    case Stdout = 'stdout';
    case Stderr = 'stderr';
    /** The node stopped while the job was running. */
    case Interrupted = 'interrupted';
    case Finished = 'finished';
    case Failed = 'failed';
}
