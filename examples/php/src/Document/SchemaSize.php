<?php

declare(strict_types=1);

namespace Plasm\Document;

/**
 * Checks sizes before content, so that untrusted documents cannot cause work with excessive entries. Stops at the
 * first value that is larger than its schema allows, or unknown. The version of a document is first: another version
 * has other fields.
 */
final class SchemaSize
{
    /**
     * @param array<string, mixed>                   $rules
     * @param callable(string): array<string, mixed> $resolve resolves a reference
     * @param list<string|int>                       $path
     */
    public static function find(mixed $value, array $rules, callable $resolve, array $path): ?Violation
    {
        if (isset($rules['$ref'])) {
            $found = self::find($value, $resolve($rules['$ref']), $resolve, $path);
            if ($found !== null) {
                return $found;
            }
        }
        $limits = ['maxItems', 'maxProperties'];
        $broken = SchemaRules::broken($value, array_intersect_key($rules, array_flip($limits)));
        if ($broken !== []) {
            return new Violation($path, $broken[0], $rules, $value);
        }
        $version = $rules['properties']['version'] ?? [];
        if (isset($value->version, $version['const']) && $value->version !== $version['const']) {
            return new Violation([...$path, 'version'], 'const', $version, $value->version);
        }
        return match (true) {
            is_array($value) => self::first(
                array_values($value),
                static fn (mixed $item, int $index): ?Violation =>
                    self::find($item, $rules['items'] ?? [], $resolve, [...$path, $index]),
            ),
            $value instanceof \stdClass => self::first($value, static function (
                mixed $child,
                string|int $name,
            ) use (
                $rules,
                $resolve,
                $path,
            ): ?Violation {
                $path = [...$path, (string) $name];
                $other = $rules['additionalProperties'] ?? [];
                $field = $rules['properties'][$name] ?? $other;
                return $field === false
                    ? new Violation($path, 'false', $rules, $child)
                    : self::find($child, $field, $resolve, $path);
            }),
            default => null,
        };
    }

    /**
     * @param list<mixed>|\stdClass            $children
     * @param callable(mixed, mixed): ?Violation $find
     */
    private static function first(array|\stdClass $children, callable $find): ?Violation
    {
        foreach ($children as $key => $child) {
            $found = $find($child, $key);
            if ($found !== null) {
                return $found;
            }
        }
        return null;
    }
}
