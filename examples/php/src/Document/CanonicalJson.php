<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\PlasmException;

/**
 * Canonical JSON (RFC 8785). Stricter than the RFC where languages differ: numbers must be integers within 2^53 - 1.
 */
final class CanonicalJson
{
    private const FLAGS = JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE
        | JSON_UNESCAPED_LINE_TERMINATORS;

    /**
     * Returns the canonical form of a value made of stdClass, lists, strings, integers, booleans and null.
     *
     * @throws PlasmException `internal` for any other value
     */
    public static function encode(mixed $value): string
    {
        return self::write($value, 0);
    }

    private static function write(mixed $value, int $depth): string
    {
        if (is_float($value) && floor($value) === $value && abs($value) <= Json::MAX_INTEGER) {
            $value = (int) $value;
        }
        if (is_int($value)) {
            return abs($value) <= Json::MAX_INTEGER
                ? (string) $value
                : throw self::error("only safe integers are allowed, found $value");
        }
        if (is_string($value)) {
            return self::text($value);
        }
        if (is_bool($value) || $value === null) {
            return json_encode($value, self::FLAGS);
        }
        if ($depth >= Json::MAX_DEPTH) {
            throw self::error('nested too deeply: ' . Json::MAX_DEPTH . ' levels are allowed');
        }
        if (is_array($value) && array_is_list($value)) {
            $items = array_map(static fn (mixed $item): string => self::write($item, $depth + 1), $value);
            return '[' . implode(',', $items) . ']';
        }
        if ($value instanceof \stdClass) {
            return self::object($value, $depth);
        }
        throw self::error('found ' . get_debug_type($value));
    }

    private static function object(\stdClass $value, int $depth): string
    {
        $members = array_map(
            static fn (string $name): string => self::text($name) . ':' . self::write($value->{$name}, $depth + 1),
            self::names($value),
        );
        return '{' . implode(',', $members) . '}';
    }

    /**
     * Names of an object's members in canonical order.
     *
     * @return list<string>
     */
    public static function names(\stdClass $value): array
    {
        $names = array_map(strval(...), array_keys(get_object_vars($value)));
        usort($names, static fn (string $a, string $b): int => strcmp(self::sortKey($a), self::sortKey($b)));
        return $names;
    }

    /**
     * Sort key whose byte order is the order of UTF-16 code units (RFC 8785, 3.2.3). UTF-8 differs from it only in
     * U+E000 to U+FFFF (lead bytes EE, EF), which sort after the surrogate pairs (F0 to F4).
     */
    private static function sortKey(string $name): string
    {
        return strtr($name, "\xEE\xEF", "\xFE\xFF");
    }

    private static function text(string $value): string
    {
        try {
            return json_encode($value, self::FLAGS);
        } catch (\JsonException $error) {
            throw self::error("a string is not well-formed Unicode: {$error->getMessage()}");
        }
    }

    private static function error(string $why): PlasmException
    {
        return PlasmException::of('internal', "Cannot create canonical JSON: $why");
    }
}
