<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Http\Fields;

/** Entry that a job created in its file system and did not return. */
final class LeftBehind
{
    /**
     * @param string $path  name in the root; that of a directory ends in a slash
     * @param int    $bytes size of the files created or changed
     * @param string $kind  file, directory or link
     */
    private function __construct(
        public readonly string $path,
        public readonly int $bytes,
        public readonly string $kind,
    ) {
    }

    /**
     * Parses the API's list.
     *
     * @return list<self>
     *
     * @throws PlasmException `protocol`
     */
    public static function listOf(?Fields $list): array
    {
        return array_map(static function (mixed $value): self {
            $entry = new Fields($value, 'left_behind');
            return new self($entry->string('path'), $entry->int('bytes'), $entry->string('kind'));
        }, $list?->list('entries') ?? []);
    }
}
