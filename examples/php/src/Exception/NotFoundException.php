<?php

declare(strict_types=1);

namespace Plasm\Exception;

/** There is no such job, module or input (any more). */
final class NotFoundException extends CallerException
{
}
