<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Http\Transport;

/**
 * A client of a daemon's local API. Every method throws the daemon's own errors, `no-daemon` when it does not answer,
 * `interrupted` when the caller's time limit has passed and `protocol` when the response is invalid.
 */
final class Client
{
    /** stdin up to here goes with the job; more is sent on its own. In bytes. */
    private const INLINE_STDIN_BYTES = 65_536;

    private readonly Transport $transport;

    /**
     * @param Address|null $address null: the daemon on this machine, see {@see Address::discover()}
     *
     * @throws PlasmException `no-daemon` when there is no socket
     */
    public function __construct(
        ?Address $address = null,
        Timeouts $timeouts = new Timeouts(),
        Limits $limits = new Limits(),
    ) {
        $this->transport = new Transport($address ?? Address::discover(), $timeouts, $limits);
    }

    /**
     * Submits a job, sending what the daemon does not have. Once this returns no crash loses it.
     *
     * @param string|null    $submitter whose job it is among the users of the daemon
     * @param JobTarget|null $target    runs it on another node, whose receipt is then the job's; null: here
     *
     * @throws PlasmException `no-peer` when there is a target and the network is off; `over-limit`, `policy`,
     *                        `queue-full`, `too-large` and more
     */
    public function submit(Job $job, ?string $submitter = null, ?JobTarget $target = null): JobStatus
    {
        $this->putModule($job->module);
        foreach ($job->inputs as $input) {
            $this->putInput($input);
        }
        $submission = ['manifest' => json_decode($job->manifest->toJson()), 'nonce' => $job->nonce];
        if ($job->stdin->size > self::INLINE_STDIN_BYTES) {
            $this->putInput($job->stdin);
        } elseif ($job->stdin->size > 0) {
            $submission['stdin'] = base64_encode($job->stdin->text());
        }
        if ($submitter !== null) {
            $submission['submitter'] = $submitter;
        }
        if ($target !== null) {
            $submission['target'] = $target->fields();
        }
        return JobStatus::fromFields($this->transport->json('POST', '/v1/jobs', $submission));
    }

    /**
     * Where a job stands.
     *
     * @throws PlasmException `not-found`
     */
    public function status(string $id): JobStatus
    {
        return JobStatus::fromFields($this->transport->json('GET', self::path($id)));
    }

    /**
     * Waits until a job has finished and collects its result. Output is held in memory; larger outputs take
     * {@see Client::output()}.
     *
     * @param FollowOptions $options how long to wait
     *
     * @throws PlasmException the error of a job without a result; `not-found`; `too-large` when the output is over
     *                        {@see Limits::$bodyBytes}
     */
    public function result(string $id, FollowOptions $options = new FollowOptions()): JobResult
    {
        foreach ($this->events($id, $options) as $event) {
            unset($event);
        }
        $job = $this->status($id);
        if ($job->error !== null) {
            throw $job->error;
        }
        $read = fn (string $what): string =>
            $this->transport->send('GET', self::path($id, $what))->text($this->transport->limits->bodyBytes);
        return new JobResult($job, $read('stdout'), $read('stderr'), $this->receipt($id));
    }

    /**
     * Streams a job's events until it has finished; reconnects after a broken connection.
     *
     * @throws PlasmException while iterating, see {@see Events::getIterator()}
     */
    public function events(string $id, FollowOptions $options = new FollowOptions()): Events
    {
        return new Events($this->transport, self::path($id, 'events'), $options);
    }

    /**
     * What a job wrote, as far as it is there, piece by piece.
     *
     * @param int $offset bytes to leave out at the beginning
     * @return iterable<string>
     *
     * @throws PlasmException `not-found`
     */
    public function output(string $id, OutputStream $stream, int $offset = 0): iterable
    {
        return $this->transport->send('GET', self::path($id, $stream->value) . "?offset=$offset")->pieces();
    }

    /**
     * A job's receipt, of which nothing has been verified.
     *
     * @throws PlasmException `not-found`; `conflict` when the job is not over; `bad-receipt` when it is malformed
     */
    public function receipt(string $id): Receipt
    {
        return Receipt::parse($this->transport->send('GET', self::path($id, 'receipt'))->text(Receipt::MAX_BYTES));
    }

    /**
     * Cancels a job and waits until it has finished; does nothing for a finished job.
     *
     * @throws PlasmException `not-found`
     */
    public function cancel(string $id): JobStatus
    {
        return JobStatus::fromFields($this->transport->json('DELETE', self::path($id)));
    }

    /**
     * Jobs, the newest first.
     *
     * @param JobState|null $state     only jobs in this state
     * @param string|null   $submitter only jobs of this submitter
     * @param int           $limit     jobs in one page, at most 1000
     * @param string|null   $before    `next` of the page before
     */
    public function jobs(
        ?JobState $state = null,
        ?string $submitter = null,
        int $limit = 100,
        ?string $before = null,
    ): JobPage {
        $filter = ['state' => $state?->value, 'submitter' => $submitter, 'limit' => $limit, 'before' => $before];
        $page = $this->transport->json('GET', '/v1/jobs?' . http_build_query($filter));
        $jobs = array_map(
            static fn (mixed $job): JobStatus => JobStatus::fromFields(new Http\Fields($job, 'job')),
            $page->list('jobs'),
        );
        return new JobPage($jobs, $page->stringOrNull('next'));
    }

    /** Who the node is, what it allows and what it is doing. */
    public function node(): NodeInfo
    {
        return NodeInfo::fromFields($this->transport->json('GET', '/v1/node'));
    }

    /**
     * Finds nodes that run jobs, in the order of answering. Returns when the query's limit is reached or its time over.
     *
     * @return list<FoundNode> empty if no node matches
     *
     * @throws PlasmException `no-peer` when the network is off; `protocol` when a node's document is not signed by its
     *                        key
     */
    public function discover(DiscoverQuery $query = new DiscoverQuery()): array
    {
        $patient = $this->transport->withPatience($query->timeoutSeconds * 1000);
        $answer = $patient->json('POST', '/v1/discover', $query->fields());
        return array_map(
            static fn (mixed $node): FoundNode => FoundNode::fromFields(new Http\Fields($node, 'node found')),
            $answer->list('nodes'),
        );
    }

    /** Sends a module, unless the daemon has it; returns its hash. */
    public function putModule(string|Content $module): Hash
    {
        return $this->put('modules', Content::of($module));
    }

    /** Sends an input, unless the daemon has it; returns its hash. */
    public function putInput(string|Content $input): Hash
    {
        $input = Content::of($input);
        // Everybody has nothing.
        return $input->size === 0 ? $input->hash : $this->put('inputs', $input);
    }

    private function put(string $kind, Content $content): Hash
    {
        $path = "/v1/$kind/$content->hash";
        try {
            $this->transport->send('HEAD', $path)->close();
        } catch (Exception\NotFoundException) {
            $this->transport->send('PUT', $path, $content->body())->close();
        }
        return $content->hash;
    }

    private static function path(string $id, string $below = ''): string
    {
        return '/v1/jobs/' . rawurlencode($id) . ($below === '' ? '' : "/$below");
    }
}
