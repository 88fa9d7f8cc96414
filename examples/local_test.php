<?php

/*
 * Runs a job on the local daemon and verifies the receipt.
 *
 * Usage: php examples/local_test.php [KEY]
 *
 * KEY is the daemon's public key in hex, as printed by `plasm id`. Without it the daemon is asked for its key, which is
 * sufficient on a trusted machine, where the socket identifies it.
 */

declare(strict_types=1);

use Plasm\Client;
use Plasm\Content;
use Plasm\Job;
use Plasm\PlasmException;

require __DIR__ . '/php/autoload.php';

try {
    $client = new Client();
    $key = $argv[1] ?? $client->node()->publicKey;

    $job = Job::create(Content::file(__DIR__ . '/hello/hello.wasm'), stdin: 'Hello, World');
    $submitted = $client->submit($job);
    $result = $client->result($submitted->id);
    $receipt = $result->verify($job, $key);

    echo "job        $submitted->id\n";
    echo "output     $result->stdout\n";
    echo "exit code  {$receipt->claim->exitCode}\n";
    echo "wall time  {$receipt->run->usage->wallTimeMs} ms\n";
    echo "receipt verified\n";
} catch (PlasmException $error) {
    fwrite(STDERR, "$error->errorCode: {$error->getMessage()}\n" . ($error->hint === null ? '' : "$error->hint\n"));
    exit(1);
}
