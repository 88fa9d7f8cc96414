<?php

/*
 * Finds a node, runs a job on it through the local daemon, and verifies the receipt with the discovered node's key.
 *
 * Usage: php examples/remote_test.php
 *
 * Requires network.enabled in the daemon's configuration.
 */

declare(strict_types=1);

use Plasm\Client;
use Plasm\Content;
use Plasm\DiscoverQuery;
use Plasm\Job;
use Plasm\JobTarget;
use Plasm\PlasmException;

require __DIR__ . '/php/autoload.php';

try {
    $client = new Client();
    // A node that has just joined is found with a short delay.
    $node = $client->discover(new DiscoverQuery(limit: 1, timeoutSeconds: 60))[0]
        ?? throw PlasmException::of('no-peer', 'Cannot run job: no node found');
    echo "node       $node->peerId ({$node->runtime->arch}, $node->path)\n";
    echo "key        $node->publicKey\n";

    $job = Job::create(Content::file(__DIR__ . '/hello/hello.wasm'), stdin: 'Hello, World');
    $submitted = $client->submit($job, target: JobTarget::node($node));
    echo "job        $submitted->id\n";

    $result = $client->result($submitted->id);
    $receipt = $result->verifyFrom($job, $node);
    echo "output     $result->stdout\n";
    echo "exit code  {$receipt->claim->exitCode}\n";
    echo "wall time  {$receipt->run->usage->wallTimeMs} ms\n";
    echo "receipt verified\n";
} catch (PlasmException $error) {
    fwrite(STDERR, "$error->errorCode: {$error->getMessage()}\n" . ($error->hint === null ? '' : "$error->hint\n"));
    exit(1);
}
