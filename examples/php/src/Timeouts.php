<?php

declare(strict_types=1);

namespace Plasm;

/** Timeouts of a client, in milliseconds. */
final class Timeouts
{
    /**
     * @param int $connectMs to connect
     * @param int $readMs to receive the next byte; event streams send a heartbeat every 15 s, so use more than
     * that
     * @param int $requestMs for a whole request; event streams have their own limits
     *
     * @throws PlasmException `usage` if one is not positive
     */
    public function __construct(
        public readonly int $connectMs = 5_000,
        public readonly int $readMs = 30_000,
        public readonly int $requestMs = 300_000,
    ) {
        foreach (['connectMs' => $connectMs, 'readMs' => $readMs, 'requestMs' => $requestMs] as $name => $ms) {
            if ($ms < 1) {
                throw PlasmException::of('usage', "Cannot use timeout: $name must be positive, found $ms");
            }
        }
    }
}
