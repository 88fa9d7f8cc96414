<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Http\Fields;

/** One call on the stack of a job that trapped. What the module's debug information lacks is null. */
final class StackFrame
{
    /**
     * @param int         $offset   offset of the instruction in the file of the module or component, in bytes
     * @param int|null    $function index of the function, counting imported ones
     * @param string|null $name     demangled name of the function
     * @param string|null $file     source file
     * @param int|null    $module   number of the core module in a component
     */
    private function __construct(
        public readonly int $offset,
        public readonly ?int $function,
        public readonly ?string $name,
        public readonly ?string $file,
        public readonly ?int $line,
        public readonly ?int $column,
        public readonly ?int $module,
    ) {
    }

    /**
     * Parses the API's list.
     *
     * @param array<mixed> $list
     *
     * @return list<self>
     *
     * @throws PlasmException `protocol`
     */
    public static function listOf(array $list): array
    {
        return array_map(static function (mixed $value): self {
            $frame = new Fields($value, 'backtrace');
            return new self(
                $frame->int('offset'),
                $frame->intOrNull('function'),
                $frame->stringOrNull('name'),
                $frame->stringOrNull('file'),
                $frame->intOrNull('line'),
                $frame->intOrNull('column'),
                $frame->has('module') ? $frame->int('module') : null,
            );
        }, array_values($list));
    }
}
