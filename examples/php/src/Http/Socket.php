<?php

declare(strict_types=1);

namespace Plasm\Http;

use Plasm\Address;
use Plasm\PlasmException;
use Plasm\Timeouts;

/** One connection, on which nothing waits longer than it may. */
final class Socket
{
    private const PIECE = 65_536;

    private const RETRY_US = 1_000;

    private string $buffer = '';

    /** @param resource $stream */
    private function __construct(
        private $stream,
        private readonly string $where,
        private readonly int $silenceMs,
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
            throw self::lost("Cannot reach daemon at $address->target: " . ($reason ?: 'no answer'));
        }
        stream_set_blocking($stream, false);
        // Bytes are buffered here: those in PHP's own buffer would be invisible to stream_select().
        stream_set_read_buffer($stream, 0);
        stream_set_write_buffer($stream, 0);
        return new self($stream, $address->target, $timeouts->silenceMs, $deadline);
    }

    /**
     * Sends bytes; stops early when the other side answers before it has all.
     *
     * @return bool whether to go on sending
     *
     * @throws PlasmException `no-daemon` when it takes nothing any more, `interrupted`
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
                // The other side has closed; what it said before is still to be read.
                return false;
            }
            $sent += $count;
        }
        return true;
    }

    /**
     * Reads a line without its end.
     *
     * @throws PlasmException `protocol` when it is over the cap; `no-daemon`, `interrupted`
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
            throw self::lost("Cannot read answer: the connection to $this->where broke");
        }
        if ($end === false || $end > $maxBytes) {
            throw PlasmException::of('protocol', "Cannot read answer: a line is over $maxBytes bytes");
        }
        $line = substr($this->buffer, 0, $end);
        $this->buffer = substr($this->buffer, $end + 1);
        return rtrim($line, "\r");
    }

    /**
     * Reads what is there, at most `$max` bytes; waits for the first. '' is the end.
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

    /** Closes the connection; more than once does no harm. */
    public function close(): void
    {
        if (is_resource($this->stream)) {
            fclose($this->stream);
        }
    }

    /** The error of a connection that could not be made, or broke. */
    public static function lost(string $message): PlasmException
    {
        $hint = 'See whether plasm daemon runs, and whether you are in its group';
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
     * Waits until something can be done.
     *
     * @return array{bool, bool} whether it can be read and written
     */
    private function wait(bool $forWriting): array
    {
        $silence = Deadline::after($this->silenceMs);
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
                throw self::lost("Cannot reach daemon at $this->where: it was silent for $this->silenceMs ms");
            }
            if ($ready === false) {
                // A signal cut the wait short, or there is nothing to wait with: neither may burn the processor.
                usleep(self::RETRY_US);
            }
        }
    }
}
