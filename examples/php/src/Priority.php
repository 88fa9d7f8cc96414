<?php

declare(strict_types=1);

namespace Plasm;

/** Order among the jobs of one submitter. */
enum Priority: string
{
    case Low = 'low';
    case Normal = 'normal';
    case High = 'high';
}
