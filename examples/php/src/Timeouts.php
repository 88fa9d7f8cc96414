<?php

declare(strict_types=1);

namespace Plasm;

/** How long a client waits, in milliseconds. */
final class Timeouts
{
    /**
     * @param int $connectMs for a connection
     * @param int $silenceMs for the next byte; event streams have a heartbeat every 15 s, so not less than that
     * @param int $requestMs for a request as a whole; event streams have limits of their own
     *
     * @throws PlasmException `usage` when one is not positive
     */
    public function __construct(
        public readonly int $connectMs = 5_000,
        public readonly int $silenceMs = 30_000,
        public readonly int $requestMs = 300_000,
    ) {
        foreach (['connectMs' => $connectMs, 'silenceMs' => $silenceMs, 'requestMs' => $requestMs] as $name => $ms) {
            if ($ms < 1) {
                throw PlasmException::of('usage', "Cannot wait: $name must be positive, found $ms");
            }
        }
    }
}
