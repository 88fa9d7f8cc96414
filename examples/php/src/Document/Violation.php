<?php

declare(strict_types=1);

namespace Plasm\Document;

/** Violation of a schema rule by a document. */
final class Violation
{
    /**
     * @param list<string|int>     $path    location in the document
     * @param string               $keyword keyword of the rule; `false` for an unknown field
     * @param array<string, mixed> $rules   the schema around the rule
     * @param mixed                $found   value at the location
     * @param bool                 $isName  whether the rule applies to the field's name
     */
    public function __construct(
        public readonly array $path,
        public readonly string $keyword,
        public readonly array $rules,
        public readonly mixed $found = null,
        public readonly bool $isName = false,
        public readonly bool $conditional = false,
    ) {
    }

    /** Formats the location. */
    public function field(): string
    {
        return JsonPath::text($this->path);
    }

    /** Formats the message, starting with the location. */
    public function text(): string
    {
        $field = $this->field();
        if ($this->keyword === 'required') {
            return "$field is missing";
        }
        if ($this->keyword === 'false') {
            $known = implode(', ', array_keys($this->rules['properties'] ?? []));
            return "$field is not a known field" . ($known === '' ? '' : ", allowed are $known");
        }
        $subject = $this->isName ? "the name of $field" : $field;
        return "$subject must {$this->rule()}, found " . JsonPath::valueText($this->found);
    }

    private function rule(): string
    {
        $rule = $this->rules[$this->keyword];
        $json = static fn (mixed $one): string => json_encode($one, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES);
        return match ($this->keyword) {
            'minimum', 'maximum' => "be {$this->rules['minimum']} to {$this->rules['maximum']}",
            'type' => 'be of type ' . implode(' or ', (array) $rule),
            'const' => 'be ' . $json($rule),
            'enum' => 'be one of ' . implode(', ', array_map($json, $rule)),
            'pattern' => isset($this->rules['description'])
                ? 'be ' . lcfirst(explode('. ', rtrim($this->rules['description'], '.'))[0])
                : "match $rule",
            'minLength' => "have at least $rule characters",
            'maxLength' => "have at most $rule characters",
            'minItems' => "have at least $rule entries",
            'maxItems', 'maxProperties' => "have at most $rule entries",
            'uniqueItems' => 'have no entry twice',
            default => "follow $this->keyword",
        };
    }
}
