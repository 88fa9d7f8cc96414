<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\Hash;
use Plasm\PlasmException;

/** Checks input rules that the schema cannot express: directories are empty, files have no children, times name inputs. */
final class ManifestInputs
{
    /**
     * @param \stdClass $inputs guest path to hash; matches the schema
     * @param \stdClass $times  guest path to modification time; matches the schema
     *
     * @throws PlasmException `bad-manifest`
     */
    public static function check(\stdClass $inputs, \stdClass $times): void
    {
        $known = [];
        foreach ($inputs as $path => $hash) {
            $path = (string) $path;
            $known[$path] = true;
            if (str_ends_with($path, '/') && $hash !== Hash::EMPTY) {
                throw self::error($path, 'is a directory, its hash must be ' . Hash::EMPTY);
            }
            $end = 0;
            while (($end = strpos($path, '/', $end + 1)) !== false) {
                $parent = substr($path, 0, $end);
                if (property_exists($inputs, $parent)) {
                    throw self::error($path, 'lies in ' . JsonPath::valueText($parent) . ', which is a file');
                }
                $known["$parent/"] = true;
            }
        }
        foreach ($times as $path => $_) {
            if (!isset($known[$path])) {
                throw self::error((string) $path, 'is neither an input nor a directory above one', 'input_times');
            }
        }
    }

    private static function error(string $path, string $why, string $property = 'inputs'): PlasmException
    {
        $field = JsonPath::text([$property, $path]);
        return PlasmException::of('bad-manifest', "Cannot accept manifest: $field $why", details: ['field' => $field]);
    }
}
