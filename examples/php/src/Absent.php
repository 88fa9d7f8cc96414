<?php

declare(strict_types=1);

namespace Plasm;

/**
 * Marks an omitted argument. null does not: an expectation that is missing by mistake, such as an unset option, must
 * raise a TypeError instead of skipping the check.
 */
enum Absent
{
    case Value;
}
