<?php

declare(strict_types=1);

namespace Plasm\Tests;

use Plasm\Expectations;
use Plasm\Manifest;

/** The published test vectors of the repository that this package lives in. */
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
    ];

    public static function read(string $name): \stdClass
    {
        $text = (string) file_get_contents(__DIR__ . "/../../../tests/vectors/$name.json");
        return json_decode($text, false, flags: JSON_THROW_ON_ERROR);
    }

    /** Expectations of a vector: bytes are in hex. */
    public static function expectations(\stdClass $expected): Expectations
    {
        $given = [];
        foreach ($expected as $name => $value) {
            $given[self::FIELDS[$name]] = match ($name) {
                'manifest' => Manifest::parse(json_encode($value, JSON_THROW_ON_ERROR)),
                'module', 'stdin', 'stdout', 'stderr' => (string) hex2bin($value),
                default => $value,
            };
        }
        return new Expectations(...$given);
    }
}
