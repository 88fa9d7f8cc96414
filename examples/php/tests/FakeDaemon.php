<?php

declare(strict_types=1);

namespace Plasm\Tests;

use Plasm\Address;

/** Runs fake_daemon.php for one test. */
final class FakeDaemon
{
    public readonly Address $address;

    private readonly string $socket;

    /** @var resource */
    private $process;

    /** @var array<int, resource> */
    private array $pipes;

    /** @param list<array{read?: string, write?: list<string>, then?: string}> $connections */
    public function __construct(array $connections)
    {
        $this->socket = sys_get_temp_dir() . '/plasm-php-' . bin2hex(random_bytes(6)) . '.sock';
        $this->address = Address::unix($this->socket);
        $command = [PHP_BINARY, __DIR__ . '/fake_daemon.php', $this->socket];
        $process = proc_open($command, [['pipe', 'r'], ['pipe', 'w'], STDERR], $pipes);
        $this->process = $process !== false ? $process : throw new \RuntimeException('no process');
        $this->pipes = $pipes;
        $script = array_map(static fn (array $one): array => [
            'read' => $one['read'] ?? 'all',
            'write' => array_map(base64_encode(...), $one['write'] ?? []),
            'then' => $one['then'] ?? 'close',
        ], $connections);
        fwrite($this->pipes[0], json_encode($script, JSON_THROW_ON_ERROR) . "\n");
        Check::same("ready\n", fgets($this->pipes[1]));
    }

    /** Returns what the next connection sent. */
    public function request(): string
    {
        return (string) base64_decode(trim((string) fgets($this->pipes[1])));
    }

    public function __destruct()
    {
        array_map(fclose(...), $this->pipes);
        proc_terminate($this->process, 9);
        proc_close($this->process);
        @unlink($this->socket);
    }

    /** Creates a response with a content-length. */
    public static function response(string $body, int $status = 200): string
    {
        return "HTTP/1.1 $status Test\r\ncontent-length: " . strlen($body) . "\r\n\r\n$body";
    }

    /**
     * Creates a chunked response.
     *
     * @param list<string> $chunks
     */
    public static function chunked(array $chunks): string
    {
        $encoded = array_map(static fn (string $one): string => dechex(strlen($one)) . "\r\n$one\r\n", $chunks);
        return "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" . implode('', $encoded) . "0\r\n\r\n";
    }
}
