<?php

declare(strict_types=1);

namespace Plasm\Tests;

use Plasm\Client;
use Plasm\Event;
use Plasm\Events;
use Plasm\EventType;
use Plasm\FollowOptions;
use Plasm\Limits;
use Plasm\Outcome;

final class EventsTest
{
    private const AT = '2026-01-02T03:04:05.678Z';

    /** @param array<string, mixed> $fields */
    private static function line(int $id, string $type, array $fields): string
    {
        return json_encode(['id' => $id, 'at' => self::AT, 'type' => $type, ...$fields], JSON_THROW_ON_ERROR) . "\n";
    }

    /** @return list<string> events of a complete job */
    private static function job(): array
    {
        return [
            self::line(1, 'queued', ['position' => 2]),
            self::line(1, 'queued', ['position' => 0]),
            self::line(2, 'started', ['attempt' => 1]),
            "\n",
            self::line(3, 'stdout', ['offset' => 0, 'data' => base64_encode("a\0\xff")]),
            self::line(4, 'stderr', ['offset' => 0, 'data' => '']),
            self::line(5, 'interrupted', ['rerun' => true]),
            self::line(6, 'finished', ['status' => 'exited', 'exit_code' => 3, 'message' => null]),
        ];
    }

    /**
     * @param list<string> $responses one per connection
     * @return array{FakeDaemon, Events}
     */
    private static function follow(
        array $responses,
        FollowOptions $options = new FollowOptions(),
        Limits $limits = new Limits(),
    ): array {
        $daemon = new FakeDaemon(array_map(static fn (string $one): array => ['write' => [$one]], $responses));
        $client = new Client($daemon->address, limits: $limits);
        return [$daemon, $client->events('job_a', $options)];
    }

    /** @return list<Event> */
    private static function read(Events $events): array
    {
        return iterator_to_array($events, false);
    }

    public function testReadsEachKind(): void
    {
        [$daemon, $events] = self::follow([FakeDaemon::chunked(self::job())]);
        $found = self::read($events);
        Check::same([1, 1, 2, 3, 4, 5, 6], array_column($found, 'id'));
        Check::same([2, 0], [$found[0]->position, $found[1]->position]);
        Check::same([1, "a\0\xff", '', true], [$found[2]->attempt, $found[3]->data, $found[4]->data, $found[5]->rerun]);
        Check::same([Outcome::Exited, 3, true], [$found[6]->status, $found[6]->exitCode, $found[6]->isFinal()]);
        Check::same([EventType::Finished, self::AT, 6], [$found[6]->type, $found[6]->at, $events->lastId()]);
    }

    public function testEndsAfterFailedAndFinalInterruptedEvents(): void
    {
        $failed = self::line(9, 'failed', ['error' => ['code' => 'bad-module', 'message' => 'No', 'details' => []]]);
        [$daemon, $events] = self::follow([FakeDaemon::chunked([$failed])]);
        Check::same('bad-module', self::read($events)[0]->error?->errorCode);
        [$daemon, $events] = self::follow([FakeDaemon::chunked([self::line(9, 'interrupted', ['rerun' => false])])]);
        Check::same(1, count(self::read($events)));
    }

    public function testEventsAreNeitherMissedNorRepeatedAfterADisconnect(): void
    {
        $lines = array_values(array_diff(self::job(), ["\n"]));
        array_shift($lines);
        $stream = implode('', $lines);
        $head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        $seen = [];
        $responses = [];
        for ($cut = 0; $cut < strlen($stream); $cut += 29) {
            $seen[] = $count = substr_count(substr($stream, 0, $cut), "\n");
            $responses[] = $cut === 0 ? '' : $head . dechex($cut) . "\r\n" . substr($stream, 0, $cut);
            $responses[] = FakeDaemon::chunked(array_slice($lines, $count));
        }
        $daemon = new FakeDaemon(array_map(static fn (string $one): array => ['write' => [$one]], $responses));
        foreach ($seen as $count) {
            $events = (new Client($daemon->address))->events('job_a');
            Check::same([1, 2, 3, 4, 5, 6], array_column(self::read($events), 'id'), "cut after $count events");
            Check::matches('~^GET /v1/jobs/job_a/events\?after=0&follow=true ~', $daemon->request());
            Check::matches("~^GET /v1/jobs/job_a/events\?after=$count&follow=true ~", $daemon->request());
        }
        Check::same(true, count($seen) > 15);
    }

    public function testResumesAfterAnId(): void
    {
        $options = new FollowOptions(after: 4, follow: false);
        [$daemon, $events] = self::follow([FakeDaemon::chunked(array_slice(self::job(), 6, 1))], $options);
        Check::same([5], array_column(self::read($events), 'id'));
        Check::matches('~after=4&follow=false ~', $daemon->request());
        Check::same(5, $events->lastId());
    }

    public function testIteratingAgainResumes(): void
    {
        $rest = FakeDaemon::chunked(array_slice(self::job(), 4));
        [$daemon, $events] = self::follow([FakeDaemon::chunked(self::job()), $rest]);
        foreach ($events as $event) {
            if ($event->type === EventType::Started) {
                break;
            }
        }
        Check::same([3, 4, 5, 6], array_column(self::read($events), 'id'));
        $daemon->request();
        Check::matches('~after=2&~', $daemon->request());
    }

    public function testStopsAfterTheReconnectOrTotalTimeout(): void
    {
        $cut = FakeDaemon::chunked(array_slice(self::job(), 0, 3));
        [$daemon, $events] = self::follow([$cut, ''], new FollowOptions(reconnectMs: 1));
        Check::fails('no-daemon', fn () => self::read($events));
        Check::same(2, $events->lastId());
        $daemon = new FakeDaemon([['write' => [substr($cut, 0, -5)], 'then' => 'keep']]);
        $events = (new Client($daemon->address))->events('job_a', new FollowOptions(timeoutMs: 50));
        Check::fails('interrupted', fn () => self::read($events));
    }

    public function testErrorsOfTheDaemonEndTheStream(): void
    {
        $body = '{"error":{"code":"not-found","message":"No job","details":{}}}';
        [$daemon, $events] = self::follow([FakeDaemon::response($body, 404)]);
        Check::fails('not-found', fn () => self::read($events));
    }

    public function testRetriesABusyDaemon(): void
    {
        $busy = FakeDaemon::response('{"error":{"code":"busy","message":"Full","details":{}}}', 503);
        [$daemon, $events] = self::follow([$busy, FakeDaemon::chunked(self::job())]);
        Check::same(7, count(self::read($events)));
    }

    public function testRejectsMalformedEvents(): void
    {
        foreach (["[]\n", "{}\n", "x\n", self::line(1, 'odd', []), self::line(1, 'queued', []),
            self::line(1, 'stdout', ['offset' => 0, 'data' => '!']), str_repeat('x', 2001)] as $line) {
            [$daemon, $events] = self::follow([FakeDaemon::chunked([$line])], limits: new Limits(lineBytes: 2000));
            Check::fails('protocol', fn () => self::read($events), substr($line, 0, 40));
        }
    }
}
