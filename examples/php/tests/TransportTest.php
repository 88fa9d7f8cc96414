<?php

declare(strict_types=1);

namespace Plasm\Tests;

use Plasm\Address;
use Plasm\Client;
use Plasm\Hash;
use Plasm\Http\Transport;
use Plasm\Limits;
use Plasm\OutputStream;
use Plasm\Timeouts;

final class TransportTest
{
    private static function transport(FakeDaemon $daemon, Limits $limits = new Limits()): Transport
    {
        return new Transport($daemon->address, new Timeouts(), $limits);
    }

    private static function get(string $response, Limits $limits = new Limits()): string
    {
        $daemon = new FakeDaemon([['write' => [$response]]]);
        return self::transport($daemon, $limits)->send('GET', '/')->text($limits->bodyBytes);
    }

    public function testReadsEveryFraming(): void
    {
        Check::same('body', self::get(FakeDaemon::response('body')));
        Check::same('onetwo', self::get(FakeDaemon::chunked(['one', 'two'])));
        Check::same('', self::get(FakeDaemon::chunked([])));
        Check::same('to the end', self::get("HTTP/1.0 200\r\n\r\nto the end"));
        Check::same('bare', self::get("HTTP/1.1 200 OK\ncontent-length: 4\n\nbare and more"));
        $chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        Check::same('x', self::get("{$chunked}1;a=b\r\nx\r\n0\r\nTrailer: y\r\n\r\n"));
        Check::same('late', self::get("HTTP/1.1 100 Continue\r\n\r\n" . FakeDaemon::response('late')));
        Check::same('', self::get("HTTP/1.1 204 No Content\r\n\r\nno body"));
        $large = random_bytes(300_000);
        Check::same($large, self::get(FakeDaemon::chunked(str_split($large, 100_000))));
    }

    public function testSendsStringsWithLengthAndIterablesInChunks(): void
    {
        $daemon = new FakeDaemon([['write' => [FakeDaemon::response('')]], ['write' => [FakeDaemon::response('')]]]);
        $large = random_bytes(1_000_000);
        self::transport($daemon)->send('PUT', '/a', $large)->close();
        $request = $daemon->request();
        Check::matches('~^PUT /a HTTP/1\.1\r\nHost: plasm\r\n~', $request);
        Check::matches('~\r\nContent-Length: 1000000\r\n\r\n~', $request);
        Check::same(true, str_ends_with($request, $large));
        self::transport($daemon)->send('PUT', '/b', new \ArrayIterator(['one', '', 'two']))->close();
        $body = "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n";
        Check::matches('~\r\nTransfer-Encoding: chunked\r\n\r\n' . preg_quote($body) . '$~D', $daemon->request());
    }

    public function testRejectsMalformedResponses(): void
    {
        $ok = "HTTP/1.1 200 OK\r\n";
        $chunked = "{$ok}transfer-encoding: chunked\r\n";
        $responses = [
            'no HTTP' => "hello\r\n\r\n",
            'another version' => "HTTP/2 200 OK\r\n\r\n",
            'no status' => "HTTP/1.1 OK\r\n\r\n",
            'a header without a colon' => "{$ok}header\r\n\r\n",
            'a folded header' => "{$ok}a: b\r\n c\r\n\r\n",
            'two lengths' => "{$ok}content-length: 1\r\ncontent-length: 2\r\n\r\nab",
            'a negative length' => "{$ok}content-length: -1\r\n\r\n",
            'a length and chunks' => "{$chunked}content-length: 1\r\n\r\n1\r\na\r\n0\r\n\r\n",
            'an unknown coding' => "{$ok}transfer-encoding: gzip, chunked\r\n\r\n",
            'a chunk without a size' => "$chunked\r\nx\r\n",
            'a chunk with a vast size' => "$chunked\r\nfffffffffffff\r\n",
            'a chunk that is longer' => "$chunked\r\n1\r\nab\r\n0\r\n\r\n",
            'endless trailers' => "$chunked\r\n0\r\n" . str_repeat("a: b\r\n", 100),
            'endless interim answers' => str_repeat("HTTP/1.1 100 Continue\r\n\r\n", 100),
        ];
        foreach ($responses as $what => $response) {
            Check::fails('protocol', fn () => self::get($response), $what);
        }
    }

    public function testLimitsHeadsLinesAndBodies(): void
    {
        $small = new Limits(headBytes: 1000, bodyBytes: 1000);
        $head = 'HTTP/1.1 200 OK' . str_repeat("\r\na: " . str_repeat('x', 90), 12) . "\r\n\r\n";
        $error = Check::fails('protocol', fn () => self::get($head, $small), 'many headers');
        Check::matches('/head exceeds 1000 bytes$/D', $error->getMessage());
        $endless = 'HTTP/1.1 200 ' . str_repeat('x', 10_000);
        Check::fails('protocol', fn () => self::get($endless, $small), 'endless line');
        Check::same(1000, strlen(self::get(FakeDaemon::response(str_repeat('x', 1000)), $small)));
        foreach ([FakeDaemon::response(...), static fn (string $one): string => FakeDaemon::chunked([$one])] as $make) {
            $error = Check::fails('too-large', fn () => self::get($make(str_repeat('x', 1001)), $small));
            Check::same(1000, $error->details['allowed']);
        }
    }

    public function testABrokenConnectionThrowsNoDaemon(): void
    {
        foreach (['', 'HTTP/1.1 200 OK', "HTTP/1.1 200 OK\r\na: b", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nha"] as $response) {
            $error = Check::fails('no-daemon', fn () => self::get($response), $response);
            Check::same(true, $error->retryable);
        }
        $missing = Address::unix(sys_get_temp_dir() . '/plasm-php-missing.sock');
        Check::fails('no-daemon', fn () => (new Client($missing))->node());
    }

    public function testReadAndRequestTimeoutsEndARequest(): void
    {
        $half = ['write' => ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhalf"], 'then' => 'keep'];
        foreach ([['then' => 'keep'], $half] as $connection) {
            $daemon = new FakeDaemon([$connection, $connection]);
            $client = new Client($daemon->address, new Timeouts(readMs: 20));
            $error = Check::fails('no-daemon', fn () => $client->node());
            Check::matches('/no data for 20 ms/', $error->getMessage());
            $busy = new Client($daemon->address, new Timeouts(requestMs: 20));
            $error = Check::fails('interrupted', fn () => $busy->node());
            Check::same(20, $error->details['limit_ms']);
        }
    }

    public function testADaemonThatDoesNotReadDoesNotBlockTheClient(): void
    {
        $daemon = new FakeDaemon([['read' => 'head', 'then' => 'keep']]);
        $large = str_repeat('x', 10_000_000);
        $transport = new Transport($daemon->address, new Timeouts(readMs: 50), new Limits());
        Check::fails('no-daemon', fn () => $transport->send('PUT', '/', $large));
    }

    public function testAnEarlyResponseIsRead(): void
    {
        $error = '{"error":{"code":"too-large","message":"Cannot take it: 1 of 1","details":{}}}';
        $error = FakeDaemon::response($error, 413);
        $large = str_repeat('x', 10_000_000);
        foreach (['keep', 'close'] as $then) {
            $daemon = new FakeDaemon(array_fill(0, 2, ['read' => 'head', 'write' => [$error], 'then' => $then]));
            Check::fails('too-large', fn () => self::transport($daemon)->send('PUT', '/', $large), $then);
            $chunks = new \ArrayIterator(str_split($large, 65_536));
            Check::fails('too-large', fn () => self::transport($daemon)->send('PUT', '/', $chunks), $then);
        }
    }

    public function testErrorsOfTheDaemonKeepTheirCode(): void
    {
        $body = '{"error":{"code":"over-limit","message":"Cannot accept job","retryable":false,"details":{"asked":2}}}';
        $error = Check::fails('over-limit', fn () => self::get(FakeDaemon::response($body, 422)));
        Check::same(['asked' => 2], $error->details);
        Check::fails('not-found', fn () => self::get(FakeDaemon::response('', 404)));
        Check::fails('protocol', fn () => self::get(FakeDaemon::response('<html>', 500)));
        Check::fails('protocol', fn () => self::get("HTTP/1.1 302 Found\r\nlocation: /x\r\n\r\n"));
    }

    public function testRejectsUnexpectedJson(): void
    {
        foreach (['[]', 'null', '{', '{"peer_id":1}', '{"peer_id":"x","public_key":"y","runtime":[]}'] as $body) {
            $daemon = new FakeDaemon([['write' => [FakeDaemon::response($body)]]]);
            Check::fails('protocol', fn () => (new Client($daemon->address))->node(), $body);
        }
    }

    public function testOutputIsStreamedAndClosedEarly(): void
    {
        $chunks = array_fill(0, 100, str_repeat('x', 65_536));
        $daemon = new FakeDaemon(array_fill(0, 2, ['write' => [FakeDaemon::chunked($chunks)]]));
        $client = new Client($daemon->address, limits: new Limits(bodyBytes: 1));
        $size = 0;
        foreach ($client->output('job_a', OutputStream::Stdout, 7) as $chunk) {
            $size += strlen($chunk);
        }
        Check::same(6_553_600, $size);
        Check::matches('~^GET /v1/jobs/job_a/stdout\?offset=7 ~', $daemon->request());
        foreach ($client->output('../x y', OutputStream::Stderr) as $chunk) {
            break;
        }
        Check::matches('~^GET /v1/jobs/\.\.%2Fx%20y/stderr\?offset=0 ~', $daemon->request());
    }

    public function testSubmitUploadsOnlyMissingContent(): void
    {
        $head = static fn (string $status): string => "HTTP/1.1 $status\r\ncontent-length: 6\r\n\r\n";
        $daemon = new FakeDaemon([
            ['write' => [$head('200 OK')]],
            ['write' => [$head('404 Not Found')]],
            ['write' => [FakeDaemon::response('{}', 201)]],
            ['write' => [$head('500 Internal Server Error')]],
        ]);
        $client = new Client($daemon->address);
        $hash = Hash::of('module')->text;
        Check::same($hash, $client->putModule('module')->text);
        Check::matches("~^HEAD /v1/modules/$hash HTTP~", $daemon->request());
        Check::same($hash, $client->putInput('module')->text);
        Check::matches("~^HEAD /v1/inputs/$hash HTTP~", $daemon->request());
        Check::matches("~^PUT /v1/inputs/$hash HTTP.*\r\n\r\nmodule$~Ds", $daemon->request());
        Check::fails('protocol', fn () => $client->putModule('module'));
    }

    public function testTheTokenIsSentOnlyOverTcp(): void
    {
        $daemon = new FakeDaemon([['write' => [FakeDaemon::response('')]]]);
        self::transport($daemon)->send('GET', '/')->close();
        Check::same(false, stripos($daemon->request(), 'authorization'));
    }
}
