<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Http\Fields;
use Plasm\Http\PendingResponse;

/**
 * Runs the jobs of {@see Client::map()}: up to a window of requests is open at once, and each result is returned when
 * its response arrives.
 *
 * @internal
 */
final class MapRun
{
    /** How long the daemon holds a request for its result; a longer job is polled afterwards. */
    private const WAIT_SECONDS = 10;

    /** Interval at which jobs without an open request are looked at. */
    private const POLL_MS = 100;

    private const LONGEST_PAUSE_MS = 5_000;

    /** @var array<int, array{key: mixed, job: Job, attempts: int, refusals: int, since: int, due: int}> waiting */
    private array $waiting = [];

    /** @var array<int, PendingResponse> open requests */
    private array $open = [];

    /** @var array<int, string> ids of jobs that run longer than a request is held */
    private array $polled = [];

    /** @var array<int, array{key: mixed, job: Job, attempts: int, refusals: int, since: int, due: int}> all in flight */
    private array $items = [];

    /**
     * @param \Closure(Job): PendingResponse           $start  submits a job and keeps the request open
     * @param \Closure(string): JobStatus              $status
     * @param \Closure(string): JobResult              $result reads the result of a finished job
     * @param \Closure(Fields): JobResult              $read   reads the result in a response
     * @param \Closure(Job, JobResult): mixed          $verify
     */
    public function __construct(
        private readonly MapOptions $options,
        private readonly \Closure $start,
        private readonly \Closure $status,
        private readonly \Closure $result,
        private readonly \Closure $read,
        private readonly \Closure $verify,
    ) {
    }

    /**
     * @param iterable<mixed, Job> $jobs
     *
     * @return \Generator<mixed, MapResult>
     */
    public function results(iterable $jobs): \Generator
    {
        $source = (static fn (): \Generator => yield from $jobs)();
        $next = 0;
        try {
            while (true) {
                while (count($this->items) < $this->options->window && $source->valid()) {
                    $item = ['key' => $source->key(), 'job' => $source->current(), 'attempts' => 0];
                    $this->items[$next] = $item + ['refusals' => 0, 'since' => self::now(), 'due' => 0];
                    $this->waiting[$next] = $this->items[$next];
                    $next++;
                    $source->next();
                }
                if ($this->items === []) {
                    return;
                }
                foreach ($this->step() as $id => $result) {
                    $key = $this->items[$id]['key'];
                    unset($this->items[$id]);
                    yield $key => $result;
                }
            }
        } finally {
            foreach ($this->open as $pending) {
                $pending->close();
            }
        }
    }

    /** @return array<int, MapResult> results that have arrived */
    private function step(): array
    {
        $done = [];
        foreach ($this->waiting as $id => $item) {
            if ($item['due'] <= self::now()) {
                unset($this->waiting[$id]);
                $this->items[$id]['attempts']++;
                $done += $this->attempt($id, function () use ($id, $item): ?JobResult {
                    $this->open[$id] = ($this->start)($item['job']);
                    return null;
                });
            }
        }
        foreach (PendingResponse::ready($this->open, self::POLL_MS) as $id) {
            $pending = $this->open[$id];
            unset($this->open[$id]);
            $done += $this->attempt($id, function () use ($id, $pending): ?JobResult {
                $response = $pending->json();
                $status = JobStatus::fromFields($response->object('job'));
                if ($response->has('receipt')) {
                    return $status->error === null ? ($this->read)($response) : throw $status->error;
                }
                $this->polled[$id] = $status->id;
                return null;
            });
        }
        foreach ($this->polled as $id => $job) {
            $done += $this->attempt($id, function () use ($id, $job): ?JobResult {
                $status = ($this->status)($job);
                if (!$status->state->isFinal()) {
                    return null;
                }
                unset($this->polled[$id]);
                return $status->error === null ? ($this->result)($job) : throw $status->error;
            });
        }
        return $done;
    }

    /**
     * Runs a part of an attempt.
     *
     * @param \Closure(): ?JobResult $part returns the result if there is one
     *
     * @return array<int, MapResult>
     */
    private function attempt(int $id, \Closure $part): array
    {
        $item = $this->items[$id];
        try {
            $result = $part();
            if ($result === null) {
                return [];
            }
            ($this->verify)($item['job'], $result);
            return [$id => new MapResult($item['job'], $result, null, $item['attempts'])];
        } catch (PlasmException $error) {
            unset($this->open[$id], $this->polled[$id]);
            return $this->retries($id, $error)
                ? []
                : [$id => new MapResult($item['job'], null, $error, $this->items[$id]['attempts'])];
        }
    }

    /** Schedules another attempt if the error may pass. */
    private function retries(int $id, PlasmException $error): bool
    {
        $item = $this->items[$id];
        $isBusy = in_array($error->errorCode, ['busy', 'queue-full', 'no-daemon'], true);
        $isPatient = self::now() - $item['since'] < $this->options->patienceMs;
        if (!$error->retryable || ($isBusy ? !$isPatient : $item['attempts'] > $this->options->retries)) {
            return false;
        }
        // A refused submission is no attempt to run the job.
        $item['attempts'] -= $isBusy ? 1 : 0;
        $pause = min(self::LONGEST_PAUSE_MS, 50 << min(10, $item['refusals']++));
        $item['due'] = self::now() + max($pause, min(self::LONGEST_PAUSE_MS, $error->retryAfterMs ?? 0));
        $this->items[$id] = $this->waiting[$id] = $item;
        return true;
    }

    private static function now(): int
    {
        return intdiv(hrtime(true), 1_000_000);
    }

    /** Path of a request that is held for its result. */
    public static function path(): string
    {
        return '/v1/run?wait=' . self::WAIT_SECONDS;
    }
}
