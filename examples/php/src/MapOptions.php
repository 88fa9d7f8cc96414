<?php

declare(strict_types=1);

namespace Plasm;

/** Options of {@see Client::map()}. */
final class MapOptions
{
    /**
     * @param int            $window     jobs submitted at once
     * @param int            $retries    further attempts after an error that may pass: a lost daemon, a failed executor
     * @param int            $patienceMs longest wait for a daemon that is down or whose queue is full
     * @param string|null    $submitter  label of the submitter among the users of the daemon
     * @param FoundNode|null $node       node that runs the jobs and signs their receipts; null: this one
     *
     * @throws PlasmException `usage` if a number is out of range
     */
    public function __construct(
        public readonly int $window = 8,
        public readonly int $retries = 2,
        public readonly int $patienceMs = 300_000,
        public readonly ?string $submitter = null,
        public readonly ?FoundNode $node = null,
    ) {
        if ($window < 1 || $window > 1000 || $retries < 0 || $patienceMs < 0) {
            throw PlasmException::of('usage', "Cannot map: window must be 1 to 1000, found $window; others at least 0");
        }
    }
}
