<?php

declare(strict_types=1);

namespace Plasm\Http;

use Plasm\PlasmException;

/** Reads response bodies (RFC 9112, section 6). */
final class Body
{
    private const PIECE = 65_536;

    /** Maximum length of a chunk's size line or a trailer, including extensions. */
    private const MAX_LINE = 4_096;

    private const MAX_TRAILERS = 64;

    /**
     * Checks that the headers frame the body in exactly one supported way.
     *
     * @param array<string, string> $headers by lowercase name
     *
     * @throws PlasmException `protocol`
     */
    public static function checkFraming(array $headers): void
    {
        $coding = $headers['transfer-encoding'] ?? null;
        $length = $headers['content-length'] ?? null;
        $isPlain = $length === null || preg_match('/^[0-9]{1,16}$/D', $length) === 1;
        // Both at once enable request smuggling; one of them is wrong.
        if (!$isPlain || ($coding !== null && ($length !== null || strtolower($coding) !== 'chunked'))) {
            throw self::error('ambiguous length');
        }
    }

    /**
     * @param array<string, string> $headers checked by {@see Body::checkFraming()}
     * @return \Generator<int, string>
     *
     * @throws PlasmException `no-daemon` if it ends early; `protocol`, `interrupted`
     */
    public static function read(Socket $socket, array $headers): \Generator
    {
        if (isset($headers['transfer-encoding'])) {
            yield from self::chunks($socket);
        } elseif (isset($headers['content-length'])) {
            yield from self::exactly($socket, (int) $headers['content-length']);
        } else {
            while (($chunk = $socket->read(self::PIECE)) !== '') {
                yield $chunk;
            }
        }
    }

    /** @return \Generator<int, string> */
    private static function chunks(Socket $socket): \Generator
    {
        while (($size = self::chunkSize($socket)) > 0) {
            yield from self::exactly($socket, $size);
            if ($socket->readLine(self::MAX_LINE) !== '') {
                throw self::error('a chunk is longer than declared');
            }
        }
        for ($count = 0; $socket->readLine(self::MAX_LINE) !== ''; $count++) {
            if ($count >= self::MAX_TRAILERS) {
                throw self::error('more than ' . self::MAX_TRAILERS . ' trailers');
            }
        }
    }

    private static function chunkSize(Socket $socket): int
    {
        $line = $socket->readLine(self::MAX_LINE);
        if (preg_match('/^([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/D', $line, $match) !== 1) {
            throw self::error('a chunk has no size');
        }
        return (int) hexdec($match[1]);
    }

    /** @return \Generator<int, string> */
    private static function exactly(Socket $socket, int $size): \Generator
    {
        while ($size > 0) {
            $chunk = $socket->read(min($size, self::PIECE));
            if ($chunk === '') {
                throw Socket::unreachable("Cannot read response: connection closed $size bytes before its end");
            }
            $size -= strlen($chunk);
            yield $chunk;
        }
    }

    private static function error(string $why): PlasmException
    {
        return PlasmException::of('protocol', "Cannot read response: $why");
    }
}
