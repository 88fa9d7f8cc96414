<?php

declare(strict_types=1);

namespace Plasm;

/** Where a job stands. */
enum JobState: string
{
    case Queued = 'queued';
    case Running = 'running';
    /** Over, with a receipt, whatever its outcome. */
    case Finished = 'finished';
    /** Over without a result: the node's fault, or a module that could not begin. */
    case Failed = 'failed';
    /** It was running when the node stopped, and may not run again. */
    case Interrupted = 'interrupted';

    /** Whether nothing more will happen. */
    public function isFinal(): bool
    {
        return $this !== self::Queued && $this !== self::Running;
    }
}
