<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\Hash;
use Plasm\PlasmException;

/** What the manifest's schema cannot say: directories have no bytes, files have nothing below them. */
final class ManifestInputs
{
    /**
     * @param \stdClass $inputs guest path to hash; follows the schema
     *
     * @throws PlasmException `bad-manifest`
     */
    public static function check(\stdClass $inputs): void
    {
        foreach ($inputs as $path => $hash) {
            $path = (string) $path;
            if (str_ends_with($path, '/') && $hash !== Hash::EMPTY) {
                throw self::refusal($path, 'is a directory, its hash must be ' . Hash::EMPTY);
            }
            $end = 0;
            while (($end = strpos($path, '/', $end + 1)) !== false) {
                $parent = substr($path, 0, $end);
                if (property_exists($inputs, $parent)) {
                    throw self::refusal($path, 'lies in ' . JsonPath::valueText($parent) . ', which is a file');
                }
            }
        }
    }

    private static function refusal(string $path, string $why): PlasmException
    {
        $field = JsonPath::text(['inputs', $path]);
        return PlasmException::of('bad-manifest', "Cannot accept manifest: $field $why", details: ['field' => $field]);
    }
}
