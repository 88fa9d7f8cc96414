<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\PlasmException;

/**
 * Parses untrusted JSON. Objects become stdClass, to distinguish {} from []; numbers without a fraction become int,
 * as JavaScript treats 1.0 as 1.
 */
final class Json
{
    /** Same as the daemon's: sufficient for every document, safe for every recursion. */
    public const MAX_DEPTH = 32;

    /** Largest integer that a double represents exactly: 2^53 - 1. */
    public const MAX_INTEGER = 9007199254740991;

    /**
     * Parses a document that is hashed or signed: limits its size and rejects duplicate keys, which languages
     * interpret differently.
     *
     * @param int    $maxBytes maximum size in bytes
     * @param string $code     error code of failures
     * @param string $what     subject of the error message
     *
     * @throws PlasmException `$code` if it is not JSON, not UTF-8, too large, too deep or has a duplicate key
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
     * Parses JSON that is only read, such as a response of the API.
     *
     * @throws PlasmException `$code` if it is not JSON
     */
    public static function decode(string $text, string $code, string $what): mixed
    {
        try {
            // PHP also counts the content of the innermost array as a level.
            return self::withIntegers(json_decode($text, false, self::MAX_DEPTH + 1, JSON_THROW_ON_ERROR));
        } catch (\JsonException $error) {
            throw PlasmException::of(
                $code,
                "Cannot read $what: it is not JSON: {$error->getMessage()}",
                previous: $error,
            );
        }
    }

    /** Encodes a trusted value as JSON. */
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

    /** PHP uses the last of two equal keys, other languages the first: two documents with one hash. */
    private static function findDuplicateKey(string $text): ?string
    {
        // The text has already been parsed, so only strings and nesting matter.
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
                // "a" and "\u0061" are the same key. The prefix prevents the conversion of "1" to an integer.
                $key = '$' . json_decode(substr($part, 0, -strlen($match[1][0])));
                $depth = array_key_last($seen);
                if (isset($seen[$depth][$key])) {
                    return JsonPath::valueText(substr($key, 1));
                }
                $seen[$depth][$key] = true;
            }
        }
        // Reaching PCRE's own limits must not accept a document.
        return $found === 0 ? null : '(too long to be read)';
    }
}
