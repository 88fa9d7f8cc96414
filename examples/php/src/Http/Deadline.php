<?php

declare(strict_types=1);

namespace Plasm\Http;

use Plasm\PlasmException;

/** When work must be over, by a clock that is never set. */
final class Deadline
{
    private function __construct(private readonly int $endNs, private readonly int $limitMs)
    {
    }

    /** A time from now, in milliseconds. */
    public static function after(int $ms): self
    {
        return new self(hrtime(true) + $ms * 1_000_000, $ms);
    }

    /** Milliseconds left; not below 0. */
    public function leftMs(): int
    {
        return max(0, intdiv($this->endNs - hrtime(true), 1_000_000));
    }

    /**
     * Milliseconds left, at most `$limit` of them.
     *
     * @throws PlasmException `interrupted` when none is left
     */
    public function slice(int $limit): int
    {
        $left = $this->leftMs();
        if ($left === 0) {
            throw PlasmException::of('interrupted', "Stopped: the limit of $this->limitMs ms is over", details: [
                'limit_ms' => $this->limitMs,
            ]);
        }
        return min($left, $limit);
    }
}
