<?php

declare(strict_types=1);

namespace Plasm\Tests\Daemon;

use Plasm\Client;
use Plasm\Content;
use Plasm\Event;
use Plasm\EventType;
use Plasm\Expectations;
use Plasm\FollowOptions;
use Plasm\Hash;
use Plasm\Job;
use Plasm\JobState;
use Plasm\JobStatus;
use Plasm\Limits;
use Plasm\ManifestBuilder;
use Plasm\MapOptions;
use Plasm\Outcome;
use Plasm\OutputStream;
use Plasm\Priority;
use Plasm\Tests\Check;
use Plasm\Window;

/** Tests the client against a real daemon. */
final class ClientTest
{
    private Client $client;
    private string $key;

    public function __construct()
    {
        $this->client = new Client();
        $this->key = $this->client->node()->publicKey;
    }

    private static function hello(string|Content $stdin = 'Hello, World', ?ManifestBuilder $manifest = null): Job
    {
        return Job::create(Content::file(Modules::HELLO), $stdin, manifest: $manifest);
    }

    public function testRunsAJobAndVerifiesItsReceipt(): void
    {
        $manifest = (new ManifestBuilder())->args('ä', '')->env(['LANG' => 'C.UTF-8'])->priority(Priority::High)
            ->idempotent();
        $job = Job::create(Content::file(Modules::HELLO), 'Hello', ['d/' => '', 'd/a.txt' => 'a'], $manifest);
        $from = (int) (microtime(true) * 1000);
        $submitted = $this->client->submit($job, 'php');
        Check::same(
            [$job->nonce, $job->manifest->hash()->text, 'local:php', Priority::High],
            [$submitted->nonce, $submitted->manifestHash, $submitted->submitter, $submitted->priority],
        );
        $result = $this->client->result($submitted->id);
        Check::same(['olleH', '', 0], [$result->stdout, $result->stderr, $result->job->exitCode]);
        Check::same([JobState::Finished, Outcome::Exited, 1, 5], [
            $result->job->state, $result->job->status, $result->job->attempts, $result->job->stdoutBytes,
        ]);
        $receipt = $result->verify($job, $this->key, new Window($from, (int) (microtime(true) * 1000)));
        Check::same($submitted->id, $receipt->run->jobId);
        Check::same('olleH', implode('', [...$this->client->output($submitted->id, OutputStream::Stdout)]));
        Check::same('leH', implode('', [...$this->client->output($submitted->id, OutputStream::Stdout, 2)]));
    }

    public function testVerifyRejectsAnyOtherJobOrOutput(): void
    {
        $job = self::hello();
        $result = $this->client->result($this->client->submit($job)->id);
        $refused = fn (callable $verify): mixed => Check::fails('bad-receipt', $verify)->details['field'];
        Check::same('run.node.public_key', $refused(fn () => $result->verify($job, str_repeat('0', 64))));
        // The same job again has another nonce, so the old receipt does not match.
        Check::same('run.nonce', $refused(fn () => $result->verify(self::hello(), $this->key)));
        $other = Job::create($job->module, 'other', nonce: $job->nonce);
        Check::same('claim.manifest_hash', $refused(fn () => $result->verify($other, $this->key)));
        $expected = new Expectations(key: $this->key, stdout: 'dlroW ,olleX');
        Check::same('claim.stdout.hash', $refused(fn () => $result->receipt->verify($expected)));
    }

    public function testSubmitUploadsLargeInputsAndStreamsFiles(): void
    {
        $path = (string) tempnam(sys_get_temp_dir(), 'plasm-php-');
        $bytes = random_bytes(300_000);
        file_put_contents($path, $bytes);
        try {
            foreach ([Content::file($path), $bytes] as $stdin) {
                $job = self::hello($stdin);
                $result = $this->client->result($this->client->submit($job)->id);
                Check::same(true, strrev($bytes) === $result->stdout);
                $result->verify($job, $this->key);
            }
            $small = new Client(limits: new Limits(bodyBytes: 299_999));
            $id = $result->job->id;
            Check::fails('too-large', fn () => $small->result($id));
            // A file that changes between hashing and sending is rejected.
            file_put_contents($path, random_bytes(300_000));
            $file = Content::file($path);
            file_put_contents($path, random_bytes(300_000));
            Check::fails('bad-input', fn () => $this->client->putInput($file));
        } finally {
            unlink($path);
        }
    }

    public function testMapsJobsInAWindowAndVerifiesEach(): void
    {
        $read = 0;
        $jobs = (static function () use (&$read): \Generator {
            foreach (['first' => 'abc', 'second' => '', 'trap' => null, 'large' => str_repeat('x', 200_000)] as $key => $text) {
                $read++;
                yield $key => $text === null ? Job::create(Modules::trap()) : self::hello($text);
            }
        })();
        $found = [];
        foreach ($this->client->map($jobs, $this->key, new MapOptions(window: 2)) as $key => $result) {
            Check::same(null, $result->error);
            Check::same(true, $read <= count($found) + 3);
            $found[$key] = [$result->result->job->status, strlen($result->result->stdout), $result->attempts];
        }
        ksort($found);
        Check::same([
            'first' => [Outcome::Exited, 3, 1],
            'large' => [Outcome::Exited, 200_000, 1],
            'second' => [Outcome::Exited, 0, 1],
            'trap' => [Outcome::Trapped, 0, 1],
        ], $found);
        // Another key: each result is refused, and none retried.
        foreach ($this->client->map([self::hello(), self::hello()], str_repeat('0', 64)) as $result) {
            Check::same(['bad-receipt', null, 1], [$result->error?->errorCode, $result->result, $result->attempts]);
        }
        $invalid = Job::create("\0asm\1\0\0\0");
        foreach ($this->client->map(['x' => $invalid], $this->key) as $key => $result) {
            Check::same(['x', 'bad-module'], [$key, $result->error?->errorCode]);
        }
        Check::fails('usage', fn () => new MapOptions(window: 0));
    }

    public function testReportsTheStackOfATrap(): void
    {
        $result = $this->client->result($this->client->submit(Job::create(Modules::trap()))->id);
        Check::same([0], array_column($result->job->backtrace, 'function'));
    }

    public function testFetchesModulesByReference(): void
    {
        $hash = $this->client->putModule(Content::file(Modules::HELLO));
        Check::same($hash->text, $this->client->fetchModule($hash->text)->hash->text);
        Check::fails('policy', fn () => $this->client->fetchModule('https://example.org/x.wasm'));
    }

    public function testEventsResumeAfterAnId(): void
    {
        $id = $this->client->submit(self::hello())->id;
        $all = iterator_to_array($this->client->events($id), false);
        $kinds = array_values(array_unique(array_map(static fn (Event $one): string => $one->type->value, $all)));
        Check::same(['queued', 'started', 'stdout', 'finished'], $kinds);
        $stdout = array_filter($all, static fn (Event $one): bool => $one->type === EventType::Stdout);
        Check::same('dlroW ,olleH', implode('', array_map(static fn (Event $one): ?string => $one->data, $stdout)));
        $ids = array_column($all, 'id');
        $started = array_search(EventType::Started, array_column($all, 'type'), true);
        $rest = $this->client->events($id, new FollowOptions(after: $all[$started]->id));
        Check::same(array_slice($ids, $started + 1), array_column([...$rest], 'id'));
    }

    public function testCancelsARunningJob(): void
    {
        $job = Job::create(Modules::endless());
        $id = $this->client->submit($job)->id;
        foreach ($this->client->events($id) as $event) {
            if ($event->type === EventType::Started) {
                break;
            }
        }
        Check::same(JobState::Running, $this->client->status($id)->state);
        Check::same(true, Check::fails('conflict', fn () => $this->client->receipt($id))->retryable);
        Check::fails('interrupted', fn () => $this->client->result($id, new FollowOptions(timeoutMs: 1)));
        Check::same(Outcome::Cancelled, $this->client->cancel($id)->status);
        $receipt = $this->client->result($id)->verify($job, $this->key);
        Check::same([Outcome::Cancelled, null], [$receipt->claim->status, $receipt->claim->exitCode]);
        Check::same(JobState::Finished, $this->client->cancel($id)->state);
    }

    public function testATrappedJobHasAReceipt(): void
    {
        $job = Job::create(Modules::trap());
        $result = $this->client->result($this->client->submit($job)->id);
        Check::same([Outcome::Trapped, null], [$result->verify($job, $this->key)->claim->status, $result->job->exitCode]);
    }

    public function testErrorsHaveCodesAndFigures(): void
    {
        $submit = fn (Job $job): JobStatus => $this->client->submit($job);
        $greedy = self::hello(manifest: (new ManifestBuilder())->memoryMb(65536));
        $error = Check::fails('over-limit', fn () => $submit($greedy));
        Check::same(false, $error->retryable);
        Check::same(true, $error->details !== []);
        Check::fails('bad-module', fn () => $submit(Job::create('no module')));
        $missing = 'job_' . str_repeat('a', 26);
        foreach (['status', 'cancel', 'receipt', 'result'] as $method) {
            Check::fails('not-found', fn () => $this->client->$method($missing), $method);
        }
        Check::fails('not-found', fn () => [...$this->client->events('../node')]);
        Check::fails('usage', fn () => $this->client->submit(self::hello(), "a\nb"));
    }

    public function testJobsReturnsPages(): void
    {
        $submitter = 'php-' . bin2hex(random_bytes(4));
        $ids = [];
        for ($count = 0; $count < 3; $count++) {
            $ids[] = $this->client->submit(self::hello(), $submitter)->id;
            $this->client->result($ids[$count]);
        }
        $before = null;
        $found = [];
        do {
            $page = $this->client->jobs(JobState::Finished, "local:$submitter", 2, $before);
            array_push($found, ...array_column($page->jobs, 'id'));
            $before = $page->next;
        } while ($before !== null);
        Check::same(array_reverse($ids), $found);
        Check::fails('usage', fn () => $this->client->jobs(limit: 0));
    }

    public function testNodeReturnsCeilings(): void
    {
        $node = $this->client->node();
        Check::matches('/^12D3KooW/', $node->peerId);
        Check::same(true, $node->ceilings['memory_mb'] > 0 && $node->load['concurrency'] > 0);
        Check::same('plasm', $node->runtime->name);
        Check::same(Hash::of('x')->text, $this->client->putModule('x')->text);
        Check::same(Hash::of('x')->text, $this->client->putModule('x')->text);
        Check::same(Hash::EMPTY, $this->client->putInput('')->text);
    }
}
