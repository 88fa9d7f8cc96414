<?php

declare(strict_types=1);

namespace Plasm\Tests;

use Plasm\Client;
use Plasm\DiscoverQuery;
use Plasm\Job;
use Plasm\JobTarget;

final class DiscoverTest
{
    /** @return array<mixed> */
    private static function sent(FakeDaemon $daemon): array
    {
        [, $body] = explode("\r\n\r\n", $daemon->request(), 2);
        return (array) json_decode($body, false, flags: JSON_THROW_ON_ERROR);
    }

    public function testDiscoverSendsTheFieldNamesOfTheApi(): void
    {
        $empty = ['write' => [FakeDaemon::response('{"nodes":[]}')]];
        $daemon = new FakeDaemon([$empty, $empty]);
        $client = new Client($daemon->address);
        Check::same([], $client->discover());
        Check::same(['limit' => 10, 'timeout_seconds' => 30], self::sent($daemon));
        $client->discover(new DiscoverQuery('aarch64', 'plasm', 'preview1', ['simd'], 64, 10, 2, 3, 600));
        Check::same([
            'arch' => 'aarch64',
            'runtime' => 'plasm',
            'wasi' => 'preview1',
            'features' => ['simd'],
            'min_memory_mb' => 64,
            'min_timeout_seconds' => 10,
            'min_cores' => 2,
            'limit' => 3,
            'timeout_seconds' => 600,
        ], self::sent($daemon));
    }

    public function testRejectsNumbersOutOfRange(): void
    {
        Check::fails('usage', static fn (): DiscoverQuery => new DiscoverQuery(limit: 0));
        Check::fails('usage', static fn (): DiscoverQuery => new DiscoverQuery(timeoutSeconds: 0));
        Check::fails('usage', static fn (): DiscoverQuery => new DiscoverQuery(timeoutSeconds: 601));
    }

    public function testDiscoverRejectsMalformedResponses(): void
    {
        foreach (['{}', '{"nodes":{}}', '{"nodes":[1]}', '{"nodes":[{}]}', '{"nodes":[{"peer_id":"x"}]}'] as $body) {
            $daemon = new FakeDaemon([['write' => [FakeDaemon::response($body)]]]);
            Check::fails('protocol', (new Client($daemon->address))->discover(...), $body);
        }
    }

    public function testSubmitSendsOnlyTheSetFieldsOfATarget(): void
    {
        $targets = [
            '{}' => new JobTarget(),
            '{"peer":"12D3KooW"}' => new JobTarget(peer: '12D3KooW'),
            '{"arch":"aarch64","min_memory_mb":64,"attempts":1}' => new JobTarget(null, 'aarch64', 64, 1),
            '{"agree":2,"nodes":3,"same_network":true}' => JobTarget::agree(2, 3, true),
        ];
        foreach ($targets as $json => $target) {
            // The module exists already.
            $daemon = new FakeDaemon([
                ['read' => 'head', 'write' => [FakeDaemon::response('')]],
                ['write' => [FakeDaemon::response('{}')]],
            ]);
            $client = new Client($daemon->address);
            $submit = static fn (): mixed => $client->submit(Job::create("\0asm"), target: $target);
            Check::fails('protocol', $submit, 'the response is not a job');
            $daemon->request();
            Check::same($json, json_encode(self::sent($daemon)['target']));
        }
    }
}
