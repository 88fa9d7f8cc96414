<?php

declare(strict_types=1);

namespace Plasm\Document;

/** One rule of a schema that a document does not follow. */
final class Violation
{
    /**
     * @param list<string|int>     $path    where in the document
     * @param string               $keyword the rule's name; `false` for a field that is not known
     * @param array<string, mixed> $rules   the schema around the rule
     * @param mixed                $found   what is there
     * @param bool                 $isName  whether the rule is about the name of the field
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

    /** The place, as messages name it. */
    public function field(): string
    {
        return JsonPath::text($this->path);
    }

    /** What is wrong, beginning with the place. */
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
