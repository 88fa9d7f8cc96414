<?php

/*
 * Runs the tests: every public method of tests/*Test.php whose name starts with "test". With --daemon, runs
 * tests/Daemon instead, against the daemon at PLASM_SOCKET.
 *
 * Usage: php tests/run.php [--daemon] [NAME]
 */

declare(strict_types=1);

namespace Plasm\Tests;

require __DIR__ . '/../autoload.php';

spl_autoload_register(static function (string $class): void {
    if (str_starts_with($class, 'Plasm\\Tests\\')) {
        require __DIR__ . '/' . strtr(substr($class, strlen('Plasm\\Tests\\')), '\\', '/') . '.php';
    }
});

// Treat PHP notices as failures.
set_error_handler(static function (int $level, string $message, string $file, int $line): bool {
    // Errors suppressed with @ are handled by the caller.
    return (error_reporting() & $level) === 0 ? false : throw new \ErrorException($message, 0, $level, $file, $line);
});

$withDaemon = in_array('--daemon', $argv, true);
$only = array_values(array_diff(array_slice($argv, 1), ['--daemon']))[0] ?? '';
$files = $withDaemon ? glob(__DIR__ . '/Daemon/*Test.php') : glob(__DIR__ . '/*Test.php');
$passed = 0;
$failed = 0;
foreach ($files ?: [] as $file) {
    $class = 'Plasm\\Tests\\' . ($withDaemon ? 'Daemon\\' : '') . basename($file, '.php');
    foreach (get_class_methods($class) as $method) {
        $name = basename($file, '.php') . '::' . $method;
        if (!str_starts_with($method, 'test') || ($only !== '' && !str_contains($name, $only))) {
            continue;
        }
        try {
            (new $class())->$method();
            $passed++;
        } catch (\Throwable $error) {
            $failed++;
            echo "FAILED $name\n", $error, "\n";
        }
    }
}
echo "$passed passed, $failed failed\n";
exit($failed > 0 || $passed === 0 ? 1 : 0);
