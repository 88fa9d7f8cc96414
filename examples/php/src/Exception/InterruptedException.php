<?php

declare(strict_types=1);

namespace Plasm\Exception;

/** The work was stopped before its end, as by the caller's own time limit. */
final class InterruptedException extends CallerException
{
}
