<?php

declare(strict_types=1);

namespace Plasm;

/** How a job ended. Only `Exited` comes with an exit code. */
enum Outcome: string
{
    case Exited = 'exited';
    case Trapped = 'trapped';
    case Timeout = 'timeout';
    case Memory = 'memory';
    case Output = 'output';
    case Cancelled = 'cancelled';
    /** The node ran nothing. */
    case Rejected = 'rejected';
}
