<?php

/*
 * Prints verdicts on documents for comparison with another implementation: reads a JSON list of {"kind":
 * "manifest"|"receipt", "json": text} from standard input and writes a list of {"hash"} or {"code", "field"}.
 */

declare(strict_types=1);

use Plasm\Hash;
use Plasm\Manifest;
use Plasm\PlasmException;
use Plasm\Receipt;

require __DIR__ . '/../autoload.php';

$verdicts = [];
$documents = json_decode((string) stream_get_contents(STDIN), true, flags: JSON_THROW_ON_ERROR);
foreach ($documents as ['kind' => $kind, 'json' => $json]) {
    try {
        $hash = $kind === 'manifest'
            ? Manifest::parse($json)->hash()
            : Hash::of(Receipt::parse($json)->verifyUnpinned()->signedBytes());
        $verdicts[] = ['hash' => $hash->text];
    } catch (PlasmException $error) {
        $verdicts[] = ['code' => $error->errorCode, 'field' => $error->details['field'] ?? null];
    }
}
echo json_encode($verdicts, JSON_THROW_ON_ERROR), "\n";
