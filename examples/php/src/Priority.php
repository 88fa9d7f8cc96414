<?php

declare(strict_types=1);

namespace Plasm;

/** Order among one submitter's jobs. */
enum Priority: string
{
    case Low = 'low';
    case Normal = 'normal';
    case High = 'high';
}
