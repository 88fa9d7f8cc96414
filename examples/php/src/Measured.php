<?php

declare(strict_types=1);

namespace Plasm;

/** Hash and length of content that was hashed while streaming, to avoid buffering it. */
final class Measured
{
    /** @param int $bytes length in bytes */
    public function __construct(public readonly Hash $hash, public readonly int $bytes)
    {
    }

    /** Measures content in memory. */
    public static function of(string $bytes): self
    {
        return new self(Hash::of($bytes), strlen($bytes));
    }
}
