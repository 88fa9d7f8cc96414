<?php

declare(strict_types=1);

namespace Plasm\Tests;

use Plasm\Client;
use Plasm\Job;
use Plasm\MapOptions;

final class MapTest
{
    private static function error(string $code): string
    {
        $error = ['code' => $code, 'message' => 'No', 'details' => []];
        return FakeDaemon::response(json_encode(['error' => $error], JSON_THROW_ON_ERROR), 500);
    }

    /**
     * @param list<string> $answers to submissions; '' closes the connection
     *
     * @return array{string|null, int} code of the error and number of attempts
     */
    private static function map(array $answers, MapOptions $options): array
    {
        $connections = [];
        foreach ($answers as $answer) {
            $connections[] = ['read' => 'head', 'write' => [FakeDaemon::response('')]];
            $connections[] = ['write' => [$answer]];
        }
        $daemon = new FakeDaemon($connections);
        $client = new Client($daemon->address);
        $results = iterator_to_array($client->map(['job' => Job::create('module')], str_repeat('0', 64), $options));
        return [$results['job']->error?->errorCode, $results['job']->attempts];
    }

    public function testRetriesErrorsThatMayPass(): void
    {
        $executor = self::error('executor');
        Check::same(['executor', 2], self::map([$executor, $executor], new MapOptions(retries: 1)));
        Check::same(['executor', 1], self::map([$executor], new MapOptions(retries: 0)));
        Check::same(['over-limit', 2], self::map([$executor, self::error('over-limit')], new MapOptions()));
    }

    public function testWaitsForABusyOrLostDaemonWithoutCountingAttempts(): void
    {
        $answers = ['', self::error('queue-full'), self::error('busy'), self::error('bad-module')];
        Check::same(['bad-module', 1], self::map($answers, new MapOptions(retries: 0)));
        Check::same(['busy', 1], self::map([self::error('busy')], new MapOptions(patienceMs: 0)));
    }
}
