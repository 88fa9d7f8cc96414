<?php

declare(strict_types=1);

namespace Plasm\Exception;

use Plasm\PlasmException;

/** Nobody in particular is at fault: what lies between broke, or does not keep to the protocol. */
class NetworkException extends PlasmException
{
}
