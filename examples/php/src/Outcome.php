<?php

declare(strict_types=1);

namespace Plasm;

/** Outcome of a job. Only `Exited` has an exit code. */
enum Outcome: string
{
    case Exited = 'exited';
    case Trapped = 'trapped';
    case Timeout = 'timeout';
    case Memory = 'memory';
    case Output = 'output';
    case Fuel = 'fuel';
    case Cancelled = 'cancelled';
    /** The node did not run the job. */
    case Rejected = 'rejected';
}
