<?php

declare(strict_types=1);

namespace Plasm\Tests;

use Plasm\PlasmException;

/** Assertions. */
final class Check
{
    public static function same(mixed $expected, mixed $found, string $what = ''): void
    {
        if ($expected !== $found) {
            $text = static fn (mixed $value): string => var_export($value, true);
            throw new \RuntimeException("$what: expected {$text($expected)}, found {$text($found)}");
        }
    }

    public static function matches(string $pattern, string $found): void
    {
        self::same(1, preg_match($pattern, $found), "$pattern in $found");
    }

    /**
     * Asserts that the callback fails with the code, and returns the exception.
     *
     * @param callable(): mixed $run
     */
    public static function fails(string $code, callable $run, string $what = ''): PlasmException
    {
        try {
            $run();
        } catch (PlasmException $error) {
            self::same($code, $error->errorCode, "$what: {$error->getMessage()}");
            return $error;
        }
        throw new \RuntimeException("$what: expected $code, but nothing was thrown");
    }

    /**
     * @param class-string<\Throwable> $class
     * @param callable(): mixed        $run
     */
    public static function throws(string $class, callable $run): void
    {
        try {
            $run();
        } catch (\Throwable $error) {
            self::same($class, $error::class, $error->getMessage());
            return;
        }
        throw new \RuntimeException("expected $class, but nothing was thrown");
    }
}
