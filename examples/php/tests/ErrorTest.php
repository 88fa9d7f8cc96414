<?php

declare(strict_types=1);

namespace Plasm\Tests;

use Plasm\Address;
use Plasm\Exception\BusyException;
use Plasm\Exception\CallerException;
use Plasm\Exception\ErrorCode;
use Plasm\Exception\JobException;
use Plasm\Exception\NodeException;
use Plasm\PlasmException;
use Plasm\Timeouts;

final class ErrorTest
{
    private static function read(string $json): PlasmException
    {
        return PlasmException::fromJson(json_decode($json));
    }

    public function testReadsEachField(): void
    {
        $error = self::read('{"code":"queue-full","message":"Cannot take job: 8 wait, 8 may","hint":"Wait",'
            . '"retryable":true,"retryAfterMs":1500,"details":{"waiting":8}}');
        Check::same(BusyException::class, $error::class);
        Check::same('queue-full', $error->errorCode);
        Check::same('Cannot take job: 8 wait, 8 may', $error->getMessage());
        Check::same(['Wait', true, 1500, ['waiting' => 8]], [
            $error->hint, $error->retryable, $error->retryAfterMs, $error->details,
        ]);
    }

    public function testOfSelectsTheClassByFault(): void
    {
        $of = static fn (string $code): PlasmException => PlasmException::of($code, 'Test');
        Check::same(true, $of('over-limit') instanceof CallerException);
        Check::same(true, $of('job-trap') instanceof JobException);
        Check::same(true, $of('bad-receipt') instanceof NodeException);
        foreach (array_keys(ErrorCode::ALL) as $code) {
            Check::same($code, $of($code)->errorCode);
            Check::same(ErrorCode::isRetryable($code), $of($code)->retryable);
        }
    }

    public function testReadPreservesUnknownCodes(): void
    {
        $error = self::read('{"code":"brand-new","message":"Something","retryable":true,"details":{}}');
        Check::same(['brand-new', true, PlasmException::class], [$error->errorCode, $error->retryable, $error::class]);
    }

    public function testReadReturnsProtocolForMalformedErrors(): void
    {
        $odd = ['null', '[]', '"x"', '{"code":1,"message":"x"}', '{"code":"A\n","message":"x"}', '{"code":"usage"}'];
        foreach ($odd as $json) {
            Check::same('protocol', self::read($json)->errorCode, $json);
        }
        $odd = self::read('{"code":"usage","message":"x","hint":1,"retryable":"yes","retryAfterMs":"1","details":[]}');
        Check::same([null, false, null, []], [$odd->hint, $odd->retryable, $odd->retryAfterMs, $odd->details]);
    }

    public function testAddressFindsTheSocketLikeTheCommandLine(): void
    {
        $dir = sys_get_temp_dir() . '/plasm-php-' . bin2hex(random_bytes(4));
        mkdir("$dir/plasm", recursive: true);
        touch("$dir/plasm/plasm.sock");
        try {
            $user = ['XDG_RUNTIME_DIR' => $dir];
            $found = Address::discover($user)->target;
            Check::matches('~^unix://(/run|' . preg_quote($dir) . ')/plasm/plasm\.sock$~D', $found);
            Check::same("unix://$dir", Address::discover($user + ['PLASM_SOCKET' => $dir])->target);
            $error = Check::fails('no-daemon', fn () => Address::discover($user + ['PLASM_SOCKET' => "$dir/none"]));
            Check::same(["$dir/none"], $error->details['sockets']);
        } finally {
            unlink("$dir/plasm/plasm.sock");
            rmdir("$dir/plasm");
            rmdir($dir);
        }
    }

    public function testAddressRejectsOtherHosts(): void
    {
        Check::same('tcp://127.0.0.1:7433', Address::tcp('http://127.0.0.1:7433', "secret\n")->target);
        Check::same('[::1]:1', Address::tcp('http://[::1]:1/', 'secret')->host);
        foreach (['http://example.com:80', 'https://127.0.0.1:1', 'http://127.0.0.1', "http://127.0.0.1:1\n"] as $url) {
            Check::fails('usage', fn () => Address::tcp($url, 'secret'), $url);
        }
        foreach (['', "a\r\nX: y", 'a b'] as $token) {
            Check::fails('usage', fn () => Address::tcp('http://127.0.0.1:1', $token), $token);
        }
        Check::fails('usage', fn () => Address::unix('/' . str_repeat('x', 107)));
        Check::fails('usage', fn () => Address::unix(''));
        Check::fails('usage', fn () => new Timeouts(readMs: 0));
    }
}
