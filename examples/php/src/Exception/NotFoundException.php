<?php

declare(strict_types=1);

namespace Plasm\Exception;

/** The job, module or input does not exist or no longer exists. */
final class NotFoundException extends CallerException
{
}
