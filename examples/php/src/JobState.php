<?php

declare(strict_types=1);

namespace Plasm;

/** State of a job. */
enum JobState: string
{
    case Queued = 'queued';
    case Running = 'running';
    /** Finished with a receipt, whatever the outcome. */
    case Finished = 'finished';
    /** Finished without a result: a node fault, or a module that cannot start. */
    case Failed = 'failed';
    /** Was running when the node stopped, and may not run again. */
    case Interrupted = 'interrupted';

    /** Whether the state is final. */
    public function isFinal(): bool
    {
        return $this !== self::Queued && $this !== self::Running;
    }
}
