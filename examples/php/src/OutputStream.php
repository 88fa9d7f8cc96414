<?php

declare(strict_types=1);

namespace Plasm;

/** The streams that a job writes. */
enum OutputStream: string
{
    case Stdout = 'stdout';
    case Stderr = 'stderr';
}
