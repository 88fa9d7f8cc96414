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

    public function testAsksWithTheNamesOfTheApi(): void
    {
        $nobody = ['say' => [FakeDaemon::answer('{"nodes":[]}')]];
        $daemon = new FakeDaemon([$nobody, $nobody]);
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

    public function testRefusesNumbersOutOfRange(): void
    {
        Check::refused('usage', static fn (): DiscoverQuery => new DiscoverQuery(limit: 0));
        Check::refused('usage', static fn (): DiscoverQuery => new DiscoverQuery(timeoutSeconds: 0));
        Check::refused('usage', static fn (): DiscoverQuery => new DiscoverQuery(timeoutSeconds: 601));
    }

    public function testRefusesAnswersThatAreNotUnderstood(): void
    {
        foreach (['{}', '{"nodes":{}}', '{"nodes":[1]}', '{"nodes":[{}]}', '{"nodes":[{"peer_id":"x"}]}'] as $answer) {
            $daemon = new FakeDaemon([['say' => [FakeDaemon::answer($answer)]]]);
            Check::refused('protocol', (new Client($daemon->address))->discover(...), $answer);
        }
    }

    public function testSendsATargetAsAnObjectOfWhatIsGiven(): void
    {
        $targets = [
            '{}' => new JobTarget(),
            '{"peer":"12D3KooW"}' => new JobTarget(peer: '12D3KooW'),
            '{"arch":"aarch64","min_memory_mb":64,"attempts":1}' => new JobTarget(null, 'aarch64', 64, 1),
        ];
        foreach ($targets as $json => $target) {
            // The module is there already.
            $daemon = new FakeDaemon([
                ['read' => 'head', 'say' => [FakeDaemon::answer('')]],
                ['say' => [FakeDaemon::answer('{}')]],
            ]);
            $client = new Client($daemon->address);
            $submit = static fn (): mixed => $client->submit(Job::create("\0asm"), target: $target);
            Check::refused('protocol', $submit, 'the answer is no job');
            $daemon->request();
            Check::same($json, json_encode(self::sent($daemon)['target']));
        }
    }
}
