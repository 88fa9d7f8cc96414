<?php

declare(strict_types=1);

namespace Plasm;

/**
 * Marks an argument that was left out. null is no such mark: an expectation that is lost on its way, such as a
 * missing setting, must raise a TypeError instead of turning into a check that passes.
 */
enum Absent
{
    case Value;
}
