<?php

declare(strict_types=1);

namespace Plasm\Exception;

use Plasm\PlasmException;

/** The caller can fix it: a wrong argument, document, module or token. */
class CallerException extends PlasmException
{
}
