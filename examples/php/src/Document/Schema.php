<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\PlasmException;

/**
 * Validates documents against the daemon's JSON Schemas (2020-12). Supports the keywords of those schemas and rejects
 * any other instead of ignoring it.
 */
final class Schema
{
    private const KEYWORDS = [
        '$ref', 'type', 'const', 'enum', 'if', 'then', 'else', 'required', 'maxProperties', 'propertyNames',
        'properties', 'additionalProperties', 'minItems', 'maxItems', 'items', 'uniqueItems', 'minimum', 'maximum',
        'minLength', 'maxLength', 'pattern',
    ];

    private const NOTES = ['$schema', '$id', '$defs', 'title', 'description', 'default', 'examples'];

    /** @var array<string, self> */
    private static array $loaded = [];

    /** @param array<string, mixed> $root */
    private function __construct(private readonly array $root)
    {
    }

    /** Loads one of the package's schemas: `receipt`, `manifest` or `capability`. */
    public static function named(string $name): self
    {
        return self::$loaded[$name] ??= new self(json_decode(
            (string) file_get_contents(__DIR__ . "/../../schemas/$name.json"),
            true,
            flags: JSON_THROW_ON_ERROR,
        ));
    }

    /**
     * Checks a document against the schema.
     *
     * @param string $code   error code of violations
     * @param string $prefix prefix of the message, such as "Cannot accept manifest"
     *
     * @throws PlasmException `$code`; `details.field` is the path used in the message
     */
    public function check(mixed $document, string $code, string $prefix): void
    {
        $found = SchemaSize::find($document, $this->root, $this->resolve(...), []);
        $violations = $found === null ? $this->walk($document, $this->root, []) : [$found];
        if ($violations === []) {
            return;
        }
        $first = self::pick($violations);
        throw PlasmException::of($code, "$prefix: {$first->text()}", details: ['field' => $first->field()]);
    }

    /** @param non-empty-list<Violation> $violations */
    private static function pick(array $violations): Violation
    {
        // A misspelt field is unknown and makes another one missing: the first is more helpful. Conditional rules
        // depend on fields that have errors of their own.
        $unknown = array_filter($violations, static fn (Violation $one): bool => $one->keyword === 'false');
        $plain = array_filter($violations, static fn (Violation $one): bool => !$one->conditional);
        return array_values($unknown ?: $plain ?: $violations)[0];
    }

    /** @return array<string, mixed> */
    private function resolve(string $reference): array
    {
        return $this->root['$defs'][substr($reference, strlen('#/$defs/'))]
            ?? throw new \LogicException("Schema has no $reference");
    }

    /**
     * @param array<string, mixed> $rules
     * @param list<string|int>     $path
     * @return list<Violation>
     */
    private function walk(
        mixed $value,
        array $rules,
        array $path,
        bool $isName = false,
        bool $conditional = false,
    ): array {
        $unknown = array_diff(array_keys($rules), self::KEYWORDS, self::NOTES);
        if ($unknown !== []) {
            throw new \LogicException('Schema uses an unsupported keyword: ' . implode(', ', $unknown));
        }
        $found = [];
        if (isset($rules['$ref'])) {
            $found = $this->walk($value, $this->resolve($rules['$ref']), $path, $isName, $conditional);
        }
        foreach (SchemaRules::broken($value, $rules) as $keyword) {
            $found[] = new Violation($path, $keyword, $rules, $value, $isName, $conditional);
        }
        if (isset($rules['if'])) {
            $branch = $this->walk($value, $rules['if'], $path) === [] ? 'then' : 'else';
            array_push($found, ...$this->walk($value, $rules[$branch] ?? [], $path, $isName, true));
        }
        return [...$found, ...match (true) {
            $value instanceof \stdClass => $this->walkObject($value, $rules, $path, $conditional),
            is_array($value) => $this->walkList($value, $rules, $path, $conditional),
            default => [],
        }];
    }

    /**
     * @param array<string, mixed> $rules
     * @param list<string|int>     $path
     * @return list<Violation>
     */
    private function walkObject(\stdClass $value, array $rules, array $path, bool $conditional): array
    {
        $found = [];
        $fields = [];
        foreach ($value as $name => $child) {
            $fields[] = [(string) $name, $child];
        }
        $names = array_column($fields, 0);
        foreach ($rules['required'] ?? [] as $name) {
            if (!in_array($name, $names, true)) {
                $found[] = new Violation([...$path, $name], 'required', $rules, conditional: $conditional);
            }
        }
        foreach (isset($rules['propertyNames']) ? $names : [] as $name) {
            array_push($found, ...$this->walk($name, $rules['propertyNames'], [...$path, $name], true, $conditional));
        }
        $known = $rules['properties'] ?? [];
        foreach ($known as $name => $field) {
            $at = array_search($name, $names, true);
            if ($at !== false) {
                array_push($found, ...$this->walk($fields[$at][1], $field, [...$path, $name], false, $conditional));
            }
        }
        $other = $rules['additionalProperties'] ?? [];
        foreach ($fields as [$name, $child]) {
            if (array_key_exists($name, $known)) {
                continue;
            }
            array_push($found, ...$other === false
                ? [new Violation([...$path, $name], 'false', $rules, $child)]
                : $this->walk($child, $other, [...$path, $name], false, $conditional));
        }
        return $found;
    }

    /**
     * @param array<mixed>         $value
     * @param array<string, mixed> $rules
     * @param list<string|int>     $path
     * @return list<Violation>
     */
    private function walkList(array $value, array $rules, array $path, bool $conditional): array
    {
        $found = [];
        foreach (array_values($value) as $index => $item) {
            array_push($found, ...$this->walk($item, $rules['items'] ?? [], [...$path, $index], false, $conditional));
        }
        return $found;
    }
}
