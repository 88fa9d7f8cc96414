<?php

declare(strict_types=1);

namespace Plasm\Exception;

/** The operation was stopped, such as by the caller's time limit. */
final class InterruptedException extends CallerException
{
}
