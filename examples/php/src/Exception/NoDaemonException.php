<?php

declare(strict_types=1);

namespace Plasm\Exception;

/** The daemon does not respond. */
final class NoDaemonException extends NodeException
{
}
