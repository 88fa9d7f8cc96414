<?php

declare(strict_types=1);

namespace Plasm\Exception;

use Plasm\PlasmException;

/** The caller must fix it: an invalid argument, document, module or token. */
class CallerException extends PlasmException
{
}
