<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\PlasmException;

/**
 * JSON from outside. Objects become stdClass, so that {} and [] stay apart; numbers without a fraction
 * become int, as in JavaScript 1.0 is 1.
 */
final class Json
{
    /** As the daemon's: deep enough for every document, shallow enough for every recursion. */
    public const MAX_DEPTH = 32;

    /** Largest integer that every language's double can hold: 2^53 - 1. */
    public const MAX_INTEGER = 9007199254740991;

    /**
     * Parses a document that is hashed or signed: size capped, and what languages read differently
     * (a key twice) refused.
     *
     * @param int    $maxBytes size cap in bytes
     * @param string $code     code of the error thrown
     * @param string $what     what is read, for the message
     *
     * @throws PlasmException `$code` when it is not JSON, not UTF-8, over the cap, too deep or has a key twice
     */
    public static function parse(string $text, int $maxBytes, string $code, string $what): mixed
    {
        $size = strlen($text);
        if ($size > $maxBytes) {
            throw PlasmException::of($code, "Cannot read $what: at most $maxBytes bytes are allowed, found $size");
        }
        $value = self::decode($text, $code, $what);
        $twice = self::findDuplicateKey($text);
        if ($twice !== null) {
            throw PlasmException::of($code, "Cannot read $what: field $twice occurs twice");
        }
        return $value;
    }

    /**
     * Parses JSON that is only read, such as an answer of the API.
     *
     * @throws PlasmException `$code` when it is not JSON
     */
    public static function decode(string $text, string $code, string $what): mixed
    {
        try {
            // PHP counts what the innermost array holds as a level too.
            return self::withIntegers(json_decode($text, false, self::MAX_DEPTH + 1, JSON_THROW_ON_ERROR));
        } catch (\JsonException $error) {
            throw PlasmException::of(
                $code,
                "Cannot read $what: it is not JSON: {$error->getMessage()}",
                previous: $error,
            );
        }
    }

    /** JSON text of a value of ours. */
    public static function encode(mixed $value): string
    {
        return json_encode($value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
    }

    private static function withIntegers(mixed $value): mixed
    {
        if (is_float($value)) {
            if (!is_finite($value)) {
                throw new \JsonException('a number is out of range');
            }
            $isInteger = floor($value) === $value && abs($value) <= self::MAX_INTEGER;
            return $isInteger ? (int) $value : $value;
        }
        if (is_array($value)) {
            return array_map(self::withIntegers(...), $value);
        }
        if ($value instanceof \stdClass) {
            foreach ($value as $name => $child) {
                $value->{$name} = self::withIntegers($child);
            }
        }
        return $value;
    }

    /** PHP keeps the last of two equal keys, other languages the first: two documents under one hash. */
    private static function findDuplicateKey(string $text): ?string
    {
        // The text has been parsed already, so only strings and nesting matter.
        $token = '/"[^"\\\\]*+(?:\\\\.[^"\\\\]*+)*+"(\s*+:)?+|[{}]/s';
        $seen = [];
        $offset = 0;
        while (($found = preg_match($token, $text, $match, PREG_OFFSET_CAPTURE, $offset)) === 1) {
            [$part, $at] = $match[0];
            $offset = $at + strlen($part);
            if ($part === '{') {
                $seen[] = [];
            } elseif ($part === '}') {
                array_pop($seen);
            } elseif (isset($match[1])) {
                // Two spellings of one key, "a" and "\u0061", are one key. The prefix keeps "1" a string.
                $key = '$' . json_decode(substr($part, 0, -strlen($match[1][0])));
                $depth = array_key_last($seen);
                if (isset($seen[$depth][$key])) {
                    return JsonPath::valueText(substr($key, 1));
                }
                $seen[$depth][$key] = true;
            }
        }
        // The engine's own limits must not let a document pass unseen.
        return $found === 0 ? null : '(too long to be read)';
    }
}
