<?php

declare(strict_types=1);

namespace Plasm\Exception;

/** No daemon answers, or it fell silent. */
final class NoDaemonException extends NodeException
{
}
