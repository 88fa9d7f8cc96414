<?php

declare(strict_types=1);

namespace Plasm\Tests\Daemon;

use Plasm\Client;
use Plasm\Tests\Check;

/** Runs the README's example. */
final class ReadmeTest
{
    public function testQuickStartRuns(): void
    {
        $readme = (string) file_get_contents(__DIR__ . '/../../README.md');
        Check::same(1, preg_match('/^## Quick start\n+```php\n(.*?)^```$/ms', $readme, $match));
        $code = preg_replace("/'<public key[^']*'/", '$GLOBALS["plasmKey"]', $match[1], -1, $count);
        Check::same(1, $count);
        $GLOBALS['plasmKey'] = (new Client())->node()->publicKey;
        $dir = sys_get_temp_dir() . '/plasm-php-' . bin2hex(random_bytes(4));
        $before = (string) getcwd();
        mkdir($dir);
        try {
            copy(Modules::HELLO, "$dir/hello.wasm");
            file_put_contents("$dir/in.csv", "a,b\n");
            chdir($dir);
            ob_start();
            try {
                eval($code);
            } finally {
                $output = ob_get_clean();
            }
            Check::same('dlroW ,olleH0', $output);
        } finally {
            chdir($before);
            array_map(unlink(...), ["$dir/hello.wasm", "$dir/in.csv"]);
            rmdir($dir);
        }
    }
}
