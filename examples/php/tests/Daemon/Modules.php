<?php

declare(strict_types=1);

namespace Plasm\Tests\Daemon;

/** Test modules. */
final class Modules
{
    /** Reverses its standard input. */
    public const HELLO = __DIR__ . '/../../../hello/hello.wasm';

    /** Loops forever. */
    public static function endless(): string
    {
        return self::withBody("\x03\x40\x0c\x00\x0b"); // loop br 0 end
    }

    /** Traps immediately. */
    public static function trap(): string
    {
        return self::withBody("\x00"); // unreachable
    }

    private static function withBody(string $instructions): string
    {
        $function = "\x00$instructions\x0b"; // no locals, end
        return "\0asm\x01\0\0\0"
            . "\x01\x04\x01\x60\x00\x00" // type: () -> ()
            . "\x03\x02\x01\x00" // one function of it
            . "\x05\x03\x01\x00\x01" // one memory of one page
            . "\x07\x13\x02\x06memory\x02\x00\x06_start\x00\x00"
            . "\x0a" . chr(strlen($function) + 2) . "\x01" . chr(strlen($function)) . $function;
    }
}
