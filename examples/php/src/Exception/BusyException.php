<?php

declare(strict_types=1);

namespace Plasm\Exception;

/** The node has no room now: try again after $retryAfterMs. */
final class BusyException extends NodeException
{
}
