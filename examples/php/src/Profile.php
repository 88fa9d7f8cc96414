<?php

declare(strict_types=1);

namespace Plasm;

/** Rules for clocks, randomness and NaN. */
enum Profile: string
{
    /** The machine's own. */
    case Default = 'default';
    /** Virtual, so that every node gets the same claim. */
    case Deterministic = 'deterministic';
}
