<?php

declare(strict_types=1);

namespace Plasm\Tests\Daemon;

use Plasm\Address;
use Plasm\Client;
use Plasm\Tests\Check;

/** Tests the API on loopback TCP at PLASM_TEST_URL with PLASM_TEST_TOKEN. */
final class TcpTest
{
    private static function client(string $token): Client
    {
        return new Client(Address::tcp((string) getenv('PLASM_TEST_URL'), $token));
    }

    public function testOnlyTheTokenIsAccepted(): void
    {
        $token = (string) getenv('PLASM_TEST_TOKEN');
        Check::matches('/^12D3KooW/', self::client($token)->node()->peerId);
        $module = random_bytes(1_000_000);
        self::client($token)->putModule($module);
        self::client("$token\n")->putModule($module);
        Check::fails('unauthorized', fn () => self::client("{$token}x")->node());
        // The HEAD response has no body with an error.
        Check::fails('unauthorized', fn () => self::client('x')->putModule($module));
    }
}
