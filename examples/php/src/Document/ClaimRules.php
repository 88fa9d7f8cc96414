<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\Exception\BadReceiptException;
use Plasm\Hash;
use Plasm\PlasmException;

/** Checks claim rules that the schema cannot express: order of sources, deterministic jobs, fuel and directories. */
final class ClaimRules
{
    /**
     * @param \stdClass $claim matches the schema
     *
     * @throws BadReceiptException
     */
    public static function check(\stdClass $claim): void
    {
        $sources = $claim->nondeterminism;
        $sorted = array_values(array_unique($sources));
        sort($sorted);
        if ($sources !== $sorted) {
            throw self::error(['nondeterminism'], 'is not sorted: ' . implode(', ', $sources));
        }
        if ($claim->profile === 'deterministic' && $sources !== []) {
            throw self::error(['nondeterminism'], 'must be empty with profile deterministic');
        }
        if ($claim->status === 'fuel' && !isset($claim->fuel)) {
            throw self::error(['fuel'], 'is missing, status is fuel');
        }
        foreach ($claim->outputs as $path => $content) {
            $path = (string) $path;
            if (str_ends_with($path, '/') && ($content->hash !== Hash::EMPTY || $content->bytes !== 0)) {
                throw self::error(['outputs', $path], 'is a directory, its content must be empty');
            }
        }
    }

    /** @param list<string> $path */
    private static function error(array $path, string $why): PlasmException
    {
        $field = JsonPath::text(['claim', ...$path]);
        return ReceiptVerifier::error($field, "$field $why");
    }
}
