<?php

declare(strict_types=1);

namespace Plasm\Tests\Daemon;

use Plasm\Address;
use Plasm\Client;
use Plasm\Tests\Check;

/** The same API on loopback TCP, where PLASM_TEST_URL and PLASM_TEST_TOKEN say. */
final class TcpTest
{
    private static function client(string $token): Client
    {
        return new Client(Address::tcp((string) getenv('PLASM_TEST_URL'), $token));
    }

    public function testTheRightTokenOpensAndAnyOtherDoesNot(): void
    {
        $token = (string) getenv('PLASM_TEST_TOKEN');
        Check::matches('/^12D3KooW/', self::client($token)->node()->peerId);
        $module = random_bytes(1_000_000);
        self::client($token)->putModule($module);
        self::client("$token\n")->putModule($module);
        Check::refused('unauthorized', fn () => self::client("{$token}x")->node());
        // Its HEAD has no body to name the error in.
        Check::refused('unauthorized', fn () => self::client('x')->putModule($module));
    }
}
