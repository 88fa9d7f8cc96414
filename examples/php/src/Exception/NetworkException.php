<?php

declare(strict_types=1);

namespace Plasm\Exception;

use Plasm\PlasmException;

/** The connection broke, or the peer violated the protocol. */
class NetworkException extends PlasmException
{
}
