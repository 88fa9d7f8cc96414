<?php

declare(strict_types=1);

namespace Plasm\Tests;

use Plasm\Expectations;
use Plasm\Manifest;

/** The repository's published test vectors. */
final class Vectors
{
    private const FIELDS = [
        'key' => 'key',
        'peer_id' => 'peerId',
        'job_id' => 'jobId',
        'nonce' => 'nonce',
        'manifest' => 'manifest',
        'module' => 'module',
        'stdin' => 'stdin',
        'stdout' => 'stdout',
        'stderr' => 'stderr',
        'outputs' => 'outputs',
    ];

    public static function read(string $name): \stdClass|array
    {
        $text = (string) file_get_contents(__DIR__ . "/../../../tests/vectors/$name.json");
        return json_decode($text, false, flags: JSON_THROW_ON_ERROR);
    }

    /** Converts a vector's expectations from hex. */
    public static function expectations(\stdClass $expected): Expectations
    {
        $fields = [];
        foreach ($expected as $name => $value) {
            $fields[self::FIELDS[$name]] = match ($name) {
                'manifest' => Manifest::parse(json_encode($value, JSON_THROW_ON_ERROR)),
                'module', 'stdin', 'stdout', 'stderr' => (string) hex2bin($value),
                'outputs' => array_map(static fn (string $hex): string => (string) hex2bin($hex), (array) $value),
                default => $value,
            };
        }
        return new Expectations(...$fields);
    }
}
