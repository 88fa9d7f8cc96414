<?php

declare(strict_types=1);

namespace Plasm\Exception;

use Plasm\PlasmException;

/** The job's author must fix it: the job trapped or exceeded a limit. */
class JobException extends PlasmException
{
}
