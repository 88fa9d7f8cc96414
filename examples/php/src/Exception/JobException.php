<?php

declare(strict_types=1);

namespace Plasm\Exception;

use Plasm\PlasmException;

/** The job's author can mend it: it trapped or went over a limit. */
class JobException extends PlasmException
{
}
