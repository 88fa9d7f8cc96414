<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Document\Json;
use Plasm\Http\Fields;
use Plasm\Http\Transport;

/**
 * Client of a daemon's local API. Every method throws the daemon's own errors, `no-daemon` if it does not respond,
 * `interrupted` when the caller's time limit expires and `protocol` if the response is invalid.
 */
final class Client
{
    /** Largest stdin sent within the job, in bytes; a larger one is uploaded first. */
    private const INLINE_STDIN_BYTES = 65_536;

    private readonly Transport $transport;

    /**
     * @param Address|null $address null: the daemon on this machine, see {@see Address::discover()}
     *
     * @throws PlasmException `no-daemon` if no socket exists
     */
    public function __construct(
        ?Address $address = null,
        Timeouts $timeouts = new Timeouts(),
        Limits $limits = new Limits(),
    ) {
        $this->transport = new Transport($address ?? Address::discover(), $timeouts, $limits);
    }

    /**
     * Submits a job, uploading content that the daemon does not have. The job is durable once this returns.
     *
     * @param string|null    $submitter label of the submitter among the users of the daemon
     * @param JobTarget|null $target    run on another node, which then signs the receipt; null: run locally
     *
     * @throws PlasmException `disabled` if there is a target and the network is off; `over-limit`, `policy`,
     *                        `queue-full`, `too-large` and more
     */
    public function submit(Job $job, ?string $submitter = null, ?JobTarget $target = null): JobStatus
    {
        $submission = $this->submission($job, $submitter, $target);
        return JobStatus::fromFields($this->transport->json('POST', '/v1/jobs', $submission));
    }

    /**
     * Runs jobs, a window of them at once, and yields each result as it arrives, under the key of its job. Every
     * receipt is verified. Errors that may pass are retried; jobs are read as they are needed.
     *
     * @param iterable<mixed, Job> $jobs
     * @param string               $key  public key in hex of the node that runs them, from a source other than the receipt
     *
     * @return \Generator<mixed, MapResult>
     *
     * @throws PlasmException `usage`; an error of one job is in its result
     */
    public function map(iterable $jobs, string $key, MapOptions $options = new MapOptions()): \Generator
    {
        $target = $options->node === null ? null : JobTarget::node($options->node);
        $run = new MapRun(
            $options,
            start: fn (Job $job) => $this->transport->start(
                'POST',
                MapRun::path(),
                $this->submission($job, $options->submitter, $target),
            ),
            status: $this->status(...),
            result: fn (string $id) => $this->result($id),
            read: $this->resultOf(...),
            verify: static fn (Job $job, JobResult $result) => $options->node === null
                ? $result->verify($job, $key)
                : $result->verifyFrom($job, $options->node),
        );
        return $run->results($jobs);
    }

    /**
     * Uploads what the daemon lacks and returns the request's body.
     *
     * @return array<string, mixed>
     */
    private function submission(Job $job, ?string $submitter, ?JobTarget $target): array
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
        return $submission;
    }

    /** Reads the result in a response to /v1/run. */
    private function resultOf(Fields $response): JobResult
    {
        $job = JobStatus::fromFields($response->object('job'));
        $path = self::path($job->id);
        $read = function (string $stream) use ($response, $path): string {
            $text = $response->stringOrNull($stream);
            return $text === null
                ? $this->transport->send('GET', "$path/$stream")->text($this->transport->limits->bodyBytes)
                : (string) base64_decode($text, true);
        };
        $receipt = Receipt::parse(Json::encode($response->value('receipt')));
        return new JobResult($job, $read('stdout'), $read('stderr'), $receipt, $this->transport, $path);
    }

    /**
     * Returns the status of a job.
     *
     * @throws PlasmException `not-found`
     */
    public function status(string $id): JobStatus
    {
        return JobStatus::fromFields($this->transport->json('GET', self::path($id)));
    }

    /**
     * Waits until a job has finished and collects its result. Output is buffered in memory; use {@see
     * Client::output()} for larger outputs. Files are read by {@see JobResult::outputs()}.
     *
     * @param FollowOptions $options timeouts
     *
     * @throws PlasmException the error of a job without a result; `not-found`; `too-large` if the output exceeds
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
        [$stdout, $stderr] = [$read('stdout'), $read('stderr')];
        return new JobResult($job, $stdout, $stderr, $this->receipt($id), $this->transport, self::path($id));
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
     * Streams a job's output as far as it has been written.
     *
     * @param int $offset bytes to skip at the beginning
     * @return iterable<string>
     *
     * @throws PlasmException `not-found`
     */
    public function output(string $id, OutputStream $stream, int $offset = 0): iterable
    {
        return $this->transport->send('GET', self::path($id, $stream->value) . "?offset=$offset")->chunks();
    }

    /**
     * Returns a job's receipt, unverified.
     *
     * @throws PlasmException `not-found`; `conflict` if the job has not finished; `bad-receipt` if it is malformed
     */
    public function receipt(string $id): Receipt
    {
        return Receipt::parse($this->transport->send('GET', self::path($id, 'receipt'))->text(Receipt::MAX_BYTES));
    }

    /**
     * Returns the receipts of all nodes that returned a job's result, unverified: several if its target has `agree`.
     *
     * @return list<Receipt>
     *
     * @throws PlasmException as {@see Client::receipt()}
     */
    public function receipts(string $id): array
    {
        $limit = Receipt::MAX_LIST * Receipt::MAX_BYTES;
        return Receipt::parseList($this->transport->send('GET', self::path($id, 'receipts'))->text($limit));
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
     * Lists jobs, newest first.
     *
     * @param JobState|null $state     only jobs in this state
     * @param string|null   $submitter only jobs of this submitter
     * @param int           $limit     page size, at most 1000
     * @param string|null   $before    `next` of the previous page
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

    /** Returns the node's identity, ceilings and load. */
    public function node(): NodeInfo
    {
        return NodeInfo::fromFields($this->transport->json('GET', '/v1/node'));
    }

    /**
     * Finds nodes that run jobs, in order of response. Returns when the query's limit or timeout is reached.
     *
     * @return list<FoundNode> empty if no node matches
     *
     * @throws PlasmException `disabled` if the network is off; `protocol` if a node's document is not signed by
     * its
     *                        key
     */
    public function discover(DiscoverQuery $query = new DiscoverQuery()): array
    {
        $transport = $this->transport->withExtraReadTime($query->timeoutSeconds * 1000);
        $response = $transport->json('POST', '/v1/discover', $query->fields());
        return array_map(
            static fn (mixed $node): FoundNode => FoundNode::fromFields(new Http\Fields($node, 'node found')),
            $response->list('nodes'),
        );
    }

    /** Uploads a module unless the daemon has it; returns its hash. */
    public function putModule(string|Content $module): Hash
    {
        return $this->put('modules', Content::of($module));
    }

    /**
     * Has the daemon download the module that `https://…`, `oci://HOST/REPO[:TAG|@sha256:…]` or `sha256:…` names, from
     * the servers in its `modules.hosts`, and returns it.
     *
     * @throws PlasmException `policy` if a server is not listed; `unreachable`, `not-found`, `bad-module`, `too-large`
     */
    public function fetchModule(string $reference): Content
    {
        $hash = $this->transport->json('POST', '/v1/modules', ['reference' => $reference])->string('hash');
        $limit = $this->transport->limits->bodyBytes;
        $module = Content::bytes($this->transport->send('GET', "/v1/modules/$hash")->text($limit));
        if ($module->hash->text !== $hash) {
            throw PlasmException::of('protocol', "Cannot use module: the daemon named $hash and sent {$module->hash->text}");
        }
        return $module;
    }

    /** Uploads an input unless the daemon has it; returns its hash. */
    public function putInput(string|Content $input): Hash
    {
        $input = Content::of($input);
        // Empty content needs no upload.
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
