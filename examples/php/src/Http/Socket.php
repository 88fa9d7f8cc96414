<?php

declare(strict_types=1);

namespace Plasm\Http;

use Plasm\Address;
use Plasm\PlasmException;
use Plasm\Timeouts;

/** Connection to the daemon with a timeout for every operation. */
final class Socket
{
    private const PIECE = 65_536;

    private const RETRY_US = 1_000;

    private string $buffer = '';

    /** @param resource $stream */
    private function __construct(
        private $stream,
        private readonly string $where,
        private readonly int $readMs,
        private readonly Deadline $deadline,
    ) {
    }

    /**
     * Connects.
     *
     * @throws PlasmException `no-daemon`, `interrupted`
     */
    public static function connect(Address $address, Timeouts $timeouts, Deadline $deadline): self
    {
        $seconds = $deadline->slice($timeouts->connectMs) / 1000;
        $stream = @stream_socket_client($address->target, $number, $reason, $seconds);
        if ($stream === false) {
            throw self::unreachable("Cannot reach daemon at $address->target: " . ($reason ?: 'no response'));
        }
        stream_set_blocking($stream, false);
        // Bytes are buffered here: stream_select() would not see those in PHP's own buffer.
        stream_set_read_buffer($stream, 0);
        stream_set_write_buffer($stream, 0);
        return new self($stream, $address->target, $timeouts->readMs, $deadline);
    }

    /**
     * Sends bytes; stops early if the daemon responds before it has received all of them.
     *
     * @return bool whether to continue sending
     *
     * @throws PlasmException `no-daemon` if the connection is closed, `interrupted`
     */
    public function write(string $bytes): bool
    {
        for ($sent = 0; $sent < strlen($bytes);) {
            [$readable, $writable] = $this->wait(forWriting: true);
            if ($readable) {
                return false;
            }
            $count = $writable ? @fwrite($this->stream, substr($bytes, $sent, self::PIECE)) : 0;
            if ($count === false) {
                // The peer has closed; its earlier response can still be read.
                return false;
            }
            $sent += $count;
        }
        return true;
    }

    /**
     * Reads a line without its terminator.
     *
     * @throws PlasmException `protocol` if it exceeds the limit; `no-daemon`, `interrupted`
     */
    public function readLine(int $maxBytes): string
    {
        $searched = 0;
        while (($end = strpos($this->buffer, "\n", $searched)) === false) {
            $searched = strlen($this->buffer);
            if ($searched > $maxBytes || !$this->fill()) {
                break;
            }
        }
        if ($end === false && $searched <= $maxBytes) {
            throw self::unreachable("Cannot read response: connection to $this->where closed");
        }
        if ($end === false || $end > $maxBytes) {
            throw PlasmException::of('protocol', "Cannot read response: a line exceeds $maxBytes bytes");
        }
        $line = substr($this->buffer, 0, $end);
        $this->buffer = substr($this->buffer, $end + 1);
        return rtrim($line, "\r");
    }

    /**
     * Reads at most `$max` bytes; waits for the first. '' is the end.
     *
     * @throws PlasmException `no-daemon`, `interrupted`
     */
    public function read(int $max): string
    {
        if ($this->buffer === '' && !$this->fill()) {
            return '';
        }
        $bytes = substr($this->buffer, 0, $max);
        $this->buffer = substr($this->buffer, strlen($bytes));
        return $bytes;
    }

    /**
     * Waits until a connection can be read.
     *
     * @param array<int, self> $sockets
     *
     * @return list<int> keys of those that can
     */
    public static function readable(array $sockets, int $timeoutMs): array
    {
        $read = array_map(static fn (self $one) => $one->stream, $sockets);
        [$write, $except] = [null, null];
        if ($read === []) {
            usleep(1000 * $timeoutMs);
            return [];
        }
        $ready = @stream_select($read, $write, $except, intdiv($timeoutMs, 1000), $timeoutMs % 1000 * 1000);
        return $ready > 0 ? array_keys($read) : [];
    }

    /** Closes the connection; safe to call twice. */
    public function close(): void
    {
        if (is_resource($this->stream)) {
            fclose($this->stream);
        }
    }

    /** Creates the error of a connection that failed or broke. */
    public static function unreachable(string $message): PlasmException
    {
        $hint = 'Check that plasm daemon runs and that you are in its group';
        return PlasmException::of('no-daemon', $message, $hint);
    }

    private function fill(): bool
    {
        while (true) {
            $this->wait(forWriting: false);
            $bytes = @fread($this->stream, self::PIECE);
            if ($bytes !== false && $bytes !== '') {
                $this->buffer .= $bytes;
                return true;
            }
            if ($bytes === false || feof($this->stream)) {
                return false;
            }
        }
    }

    /**
     * Waits until the socket is ready.
     *
     * @return array{bool, bool} whether it is readable and writable
     */
    private function wait(bool $forWriting): array
    {
        $silence = Deadline::after($this->readMs);
        while (true) {
            $ms = $this->deadline->slice(max(1, $silence->leftMs()));
            $read = [$this->stream];
            $write = $forWriting ? [$this->stream] : [];
            $except = null;
            $ready = @stream_select($read, $write, $except, intdiv($ms, 1000), $ms % 1000 * 1000);
            if ($ready > 0) {
                return [$read !== [], $write !== []];
            }
            if ($silence->leftMs() === 0) {
                throw self::unreachable("Cannot reach daemon at $this->where: no data for $this->readMs ms");
            }
            if ($ready === false) {
                // A signal interrupted the wait, or there is no stream to wait for: avoid a busy loop.
                usleep(self::RETRY_US);
            }
        }
    }
}
