<?php

declare(strict_types=1);

namespace Plasm\Exception;

/** The node has no capacity now: retry after $retryAfterMs. */
final class BusyException extends NodeException
{
}
