<?php

declare(strict_types=1);

namespace Plasm\Document;

/** Schema keywords that apply to a single value, not to its children. */
final class SchemaRules
{
    /**
     * Returns the keywords of `$rules` that the value violates.
     *
     * @param array<string, mixed> $rules
     * @return list<string>
     */
    public static function broken(mixed $value, array $rules): array
    {
        $checks = [
            'type' => static fn (mixed $rule): bool => self::isOfType($value, (array) $rule),
            'const' => static fn (mixed $rule): bool => $value === $rule,
            'enum' => static fn (mixed $rule): bool => in_array($value, $rule, true),
            'maxProperties' => static fn (int $rule): bool =>
                !$value instanceof \stdClass || count((array) $value) <= $rule,
            'minItems' => static fn (int $rule): bool => !is_array($value) || count($value) >= $rule,
            'maxItems' => static fn (int $rule): bool => !is_array($value) || count($value) <= $rule,
            'uniqueItems' => static fn (bool $rule): bool => !$rule || !is_array($value) || self::isUnique($value),
            'minimum' => static fn (int $rule): bool => !self::isNumber($value) || $value >= $rule,
            'maximum' => static fn (int $rule): bool => !self::isNumber($value) || $value <= $rule,
            'minLength' => static fn (int $rule): bool => !is_string($value) || self::length($value) >= $rule,
            'maxLength' => static fn (int $rule): bool => !is_string($value) || self::length($value) <= $rule,
            'pattern' => static fn (string $rule): bool => !is_string($value) || self::matches($value, $rule),
        ];
        $broken = [];
        foreach ($checks as $keyword => $holds) {
            if (array_key_exists($keyword, $rules) && !$holds($rules[$keyword])) {
                $broken[] = $keyword;
            }
        }
        return $broken;
    }

    /** Length of UTF-8 text in characters: the number of bytes that are not continuation bytes. */
    public static function length(string $text): int
    {
        $continuing = 0;
        foreach (count_chars($text, 1) as $byte => $times) {
            $continuing += ($byte & 0xC0) === 0x80 ? $times : 0;
        }
        return strlen($text) - $continuing;
    }

    /** @param list<string> $types */
    private static function isOfType(mixed $value, array $types): bool
    {
        foreach ($types as $type) {
            $is = match ($type) {
                'object' => $value instanceof \stdClass,
                'array' => is_array($value) && array_is_list($value),
                'string' => is_string($value),
                'boolean' => is_bool($value),
                'null' => $value === null,
                'integer' => is_int($value) || (is_float($value) && floor($value) === $value),
                default => throw new \LogicException("Schema uses an unsupported type: $type"),
            };
            if ($is) {
                return true;
            }
        }
        return false;
    }

    private static function isNumber(mixed $value): bool
    {
        return is_int($value) || is_float($value);
    }

    /** @param array<mixed> $items */
    private static function isUnique(array $items): bool
    {
        // Only lists of strings are unique in these schemas; anything else violates its type.
        $strings = array_filter($items, is_string(...));
        return count(array_unique($strings)) === count($strings);
    }

    private static function matches(string $text, string $pattern): bool
    {
        // ECMA-262 to PCRE: \u0000 is \x{0000}, and $ matches only at the very end with the modifier D.
        $pcre = preg_replace('/\\\\u([0-9a-fA-F]{4})/', '\\x{$1}', $pattern);
        // A PCRE error counts as a mismatch: it fails closed.
        return preg_match('~' . str_replace('~', '\\~', (string) $pcre) . '~uD', $text) === 1;
    }
}
