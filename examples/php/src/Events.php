<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Document\Json;
use Plasm\Http\Deadline;
use Plasm\Http\Fields;
use Plasm\Http\Response;
use Plasm\Http\Transport;

/**
 * Stream of a job's events. Reconnects after a broken connection and resumes after the last received event, so that
 * none is missed or repeated.
 *
 * @implements \IteratorAggregate<int, Event>
 */
final class Events implements \IteratorAggregate
{
    // Backoff between reconnection attempts, in milliseconds; doubles each time.
    private const FIRST_PAUSE_MS = 50;
    private const LONGEST_PAUSE_MS = 2_000;

    private int $lastId;

    /** Use {@see Client::events()}. */
    public function __construct(
        private readonly Transport $transport,
        private readonly string $path,
        private readonly FollowOptions $options,
    ) {
        $this->lastId = $options->after;
    }

    /** Id of the last yielded event: use it as `after` to resume in another process. */
    public function lastId(): int
    {
        return $this->lastId;
    }

    /**
     * Yields events until the job has finished. Iterating again resumes after the last event.
     *
     * @return \Generator<int, Event>
     *
     * @throws PlasmException `not-found`; `no-daemon` if the daemon stays unreachable; `interrupted` when the time
     * limit expires
     */
    public function getIterator(): \Generator
    {
        $deadline = Deadline::after($this->options->timeoutMs);
        $pauseMs = self::FIRST_PAUSE_MS;
        $reconnect = null;
        while (true) {
            try {
                foreach ($this->connect($deadline) as $event) {
                    [$reconnect, $pauseMs] = [null, self::FIRST_PAUSE_MS];
                    $this->lastId = $event->id;
                    yield $event;
                    if ($event->isFinal()) {
                        return;
                    }
                }
                if (!$this->options->follow) {
                    return;
                }
                $fault = PlasmException::of('no-daemon', 'Cannot follow job: connection to the daemon lost');
            } catch (Exception\NoDaemonException | Exception\BusyException $error) {
                $fault = $error;
            }
            $reconnect ??= Deadline::after($this->options->reconnectMs);
            if ($reconnect->leftMs() === 0) {
                throw $fault;
            }
            usleep(1000 * $deadline->slice(min($pauseMs, $reconnect->leftMs())));
            $pauseMs = min(self::LONGEST_PAUSE_MS, $pauseMs * 2);
        }
    }

    /** @return \Generator<int, Event> */
    private function connect(Deadline $deadline): \Generator
    {
        $follow = $this->options->follow ? 'true' : 'false';
        $path = "$this->path?after=$this->lastId&follow=$follow";
        foreach ($this->lines($this->transport->send('GET', $path, deadline: $deadline)) as $line) {
            // An empty line is a heartbeat.
            if ($line !== '') {
                yield Event::fromFields(new Fields(Json::decode($line, 'protocol', 'event'), 'event'));
            }
        }
    }

    /** @return \Generator<int, string> */
    private function lines(Response $response): \Generator
    {
        $rest = '';
        foreach ($response->chunks() as $chunk) {
            $lines = explode("\n", $rest . $chunk);
            $rest = array_pop($lines);
            yield from $lines;
            $maxBytes = $this->transport->limits->lineBytes;
            if (strlen($rest) > $maxBytes) {
                throw PlasmException::of('protocol', "Cannot read events: a line exceeds $maxBytes bytes");
            }
        }
    }
}
