<?php

declare(strict_types=1);

namespace Plasm;

/** Output streams of a job. */
enum OutputStream: string
{
    case Stdout = 'stdout';
    case Stderr = 'stderr';
}
