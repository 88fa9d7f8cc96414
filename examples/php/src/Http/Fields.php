<?php

declare(strict_types=1);

namespace Plasm\Http;

use Plasm\PlasmException;

/** Reads a JSON object of the API; a missing field or one of another type is a `protocol` error. */
final class Fields
{
    private readonly \stdClass $object;

    /**
     * @param string $what name of the object for messages
     *
     * @throws PlasmException `protocol` if it is not an object
     */
    public function __construct(mixed $value, private readonly string $what)
    {
        $this->object = $value instanceof \stdClass
            ? $value
            : throw PlasmException::of('protocol', "Cannot read $what: not an object");
    }

    /** Whether the field is present: some are optional. */
    public function has(string $name): bool
    {
        return property_exists($this->object, $name);
    }

    /** Returns a field of any type, to be checked by the caller. */
    public function value(string $name): mixed
    {
        return $this->get($name);
    }

    public function string(string $name): string
    {
        $value = $this->get($name);
        return is_string($value) ? $value : throw $this->wrong($name, $value);
    }

    public function stringOrNull(string $name): ?string
    {
        return $this->get($name) === null ? null : $this->string($name);
    }

    public function int(string $name): int
    {
        $value = $this->get($name);
        return is_int($value) ? $value : throw $this->wrong($name, $value);
    }

    public function intOrNull(string $name): ?int
    {
        return $this->get($name) === null ? null : $this->int($name);
    }

    public function number(string $name): float
    {
        $value = $this->get($name);
        return is_int($value) || is_float($value) ? (float) $value : throw $this->wrong($name, $value);
    }

    public function bool(string $name): bool
    {
        $value = $this->get($name);
        return is_bool($value) ? $value : throw $this->wrong($name, $value);
    }

    public function object(string $name): self
    {
        return new self($this->get($name), "$this->what $name");
    }

    public function objectOrNull(string $name): ?self
    {
        return $this->get($name) === null ? null : $this->object($name);
    }

    /** @return list<mixed> */
    public function list(string $name): array
    {
        $value = $this->get($name);
        return is_array($value) ? array_values($value) : throw $this->wrong($name, $value);
    }

    /** Returns the daemon's error, or null. */
    public function error(string $name): ?PlasmException
    {
        $value = $this->get($name);
        return $value === null ? null : PlasmException::fromJson($value);
    }

    /**
     * @template T of \BackedEnum
     * @param class-string<T> $enum
     * @return T
     */
    public function enum(string $name, string $enum): \BackedEnum
    {
        $value = $this->string($name);
        return $enum::tryFrom($value) ?? throw $this->wrong($name, $value);
    }

    /**
     * @template T of \BackedEnum
     * @param class-string<T> $enum
     * @return T|null
     */
    public function enumOrNull(string $name, string $enum): ?\BackedEnum
    {
        return $this->get($name) === null ? null : $this->enum($name, $enum);
    }

    /** @return array<string, int> all fields, which must be integers */
    public function integers(): array
    {
        $names = array_map('strval', array_keys((array) $this->object));
        return array_combine($names, array_map($this->int(...), $names));
    }

    private function get(string $name): mixed
    {
        return $this->has($name)
            ? $this->object->{$name}
            : throw PlasmException::of('protocol', "Cannot read $this->what: $name is missing");
    }

    private function wrong(string $name, mixed $value): PlasmException
    {
        $type = get_debug_type($value);
        return PlasmException::of('protocol', "Cannot read $this->what: $name is of an unexpected kind: $type");
    }
}
