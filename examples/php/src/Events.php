<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Document\Json;
use Plasm\Http\Deadline;
use Plasm\Http\Fields;
use Plasm\Http\Response;
use Plasm\Http\Transport;

/**
 * A job's events as they happen, over as many connections as it takes: when one breaks, the next goes on after
 * the last event that came, so none is missed and none comes twice.
 *
 * @implements \IteratorAggregate<int, Event>
 */
final class Events implements \IteratorAggregate
{
    // Pauses between attempts to reach the daemon again, in milliseconds; each is twice the one before.
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

    /** Id of the last event that was yielded: `after` for going on in another process. */
    public function lastId(): int
    {
        return $this->lastId;
    }

    /**
     * Yields events until the job has finished. Iterating again continues behind the last one.
     *
     * @return \Generator<int, Event>
     *
     * @throws PlasmException `not-found`; `no-daemon` if the daemon stays unreachable; `interrupted` when the time limit has passed
     */
    public function getIterator(): \Generator
    {
        $deadline = Deadline::after($this->options->timeoutMs);
        $pauseMs = self::FIRST_PAUSE_MS;
        $patience = null;
        while (true) {
            try {
                foreach ($this->connect($deadline) as $event) {
                    [$patience, $pauseMs] = [null, self::FIRST_PAUSE_MS];
                    $this->lastId = $event->id;
                    yield $event;
                    if ($event->isFinal()) {
                        return;
                    }
                }
                if (!$this->options->follow) {
                    return;
                }
                $fault = PlasmException::of('no-daemon', 'Cannot follow job: the daemon went away');
            } catch (Exception\NoDaemonException | Exception\BusyException $error) {
                $fault = $error;
            }
            $patience ??= Deadline::after($this->options->patienceMs);
            if ($patience->leftMs() === 0) {
                throw $fault;
            }
            usleep(1000 * $deadline->slice(min($pauseMs, $patience->leftMs())));
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
        foreach ($response->pieces() as $piece) {
            $lines = explode("\n", $rest . $piece);
            $rest = array_pop($lines);
            yield from $lines;
            $maxBytes = $this->transport->limits->lineBytes;
            if (strlen($rest) > $maxBytes) {
                throw PlasmException::of('protocol', "Cannot read events: a line is over $maxBytes bytes");
            }
        }
    }
}
