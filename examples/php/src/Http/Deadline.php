<?php

declare(strict_types=1);

namespace Plasm\Http;

use Plasm\PlasmException;

/** Deadline by a monotonic clock. */
final class Deadline
{
    private function __construct(private readonly int $endNs, private readonly int $limitMs)
    {
    }

    /** Creates a deadline from now, in milliseconds. */
    public static function after(int $ms): self
    {
        return new self(hrtime(true) + $ms * 1_000_000, $ms);
    }

    /** Milliseconds left; at least 0. */
    public function leftMs(): int
    {
        return max(0, intdiv($this->endNs - hrtime(true), 1_000_000));
    }

    /**
     * Milliseconds left, at most `$limit`.
     *
     * @throws PlasmException `interrupted` if the deadline has passed
     */
    public function slice(int $limit): int
    {
        $left = $this->leftMs();
        if ($left === 0) {
            throw PlasmException::of('interrupted', "Request timed out after $this->limitMs ms", details: [
                'limit_ms' => $this->limitMs,
            ]);
        }
        return min($left, $limit);
    }
}
