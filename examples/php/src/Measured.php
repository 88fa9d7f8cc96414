<?php

declare(strict_types=1);

namespace Plasm;

/** Bytes that were hashed as they came, where keeping them would take too much memory. */
final class Measured
{
    /** @param int $bytes how many they are */
    public function __construct(public readonly Hash $hash, public readonly int $bytes)
    {
    }

    /** Measures bytes at hand. */
    public static function of(string $bytes): self
    {
        return new self(Hash::of($bytes), strlen($bytes));
    }
}
