<?php

declare(strict_types=1);

namespace Plasm\Exception;

use Plasm\PlasmException;

/** The node's operator must fix it. */
class NodeException extends PlasmException
{
}
