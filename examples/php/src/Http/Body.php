<?php

declare(strict_types=1);

namespace Plasm\Http;

use Plasm\PlasmException;

/** Bodies of answers, as RFC 9112, section 6 frames them. */
final class Body
{
    private const PIECE = 65_536;

    /** A chunk's size line, or a trailer, with whatever extensions. */
    private const MAX_LINE = 4_096;

    private const MAX_TRAILERS = 64;

    /**
     * Whether the headers frame a body in the one way that we take.
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
        // Both at once is how requests are smuggled; one of them lies.
        if (!$isPlain || ($coding !== null && ($length !== null || strtolower($coding) !== 'chunked'))) {
            throw self::refusal('its length is not clear');
        }
    }

    /**
     * @param array<string, string> $headers checked by {@see Body::checkFraming()}
     * @return \Generator<int, string>
     *
     * @throws PlasmException `no-daemon` when it breaks off; `protocol`, `interrupted`
     */
    public static function read(Socket $socket, array $headers): \Generator
    {
        if (isset($headers['transfer-encoding'])) {
            yield from self::chunks($socket);
        } elseif (isset($headers['content-length'])) {
            yield from self::exactly($socket, (int) $headers['content-length']);
        } else {
            while (($piece = $socket->read(self::PIECE)) !== '') {
                yield $piece;
            }
        }
    }

    /** @return \Generator<int, string> */
    private static function chunks(Socket $socket): \Generator
    {
        while (($size = self::chunkSize($socket)) > 0) {
            yield from self::exactly($socket, $size);
            if ($socket->readLine(self::MAX_LINE) !== '') {
                throw self::refusal('a chunk is longer than it says');
            }
        }
        for ($count = 0; $socket->readLine(self::MAX_LINE) !== ''; $count++) {
            if ($count >= self::MAX_TRAILERS) {
                throw self::refusal('it has more than ' . self::MAX_TRAILERS . ' trailers');
            }
        }
    }

    private static function chunkSize(Socket $socket): int
    {
        $line = $socket->readLine(self::MAX_LINE);
        if (preg_match('/^([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/D', $line, $match) !== 1) {
            throw self::refusal('a chunk has no size');
        }
        return (int) hexdec($match[1]);
    }

    /** @return \Generator<int, string> */
    private static function exactly(Socket $socket, int $size): \Generator
    {
        while ($size > 0) {
            $piece = $socket->read(min($size, self::PIECE));
            if ($piece === '') {
                throw Socket::lost("Cannot read answer: the connection broke $size bytes before its end");
            }
            $size -= strlen($piece);
            yield $piece;
        }
    }

    private static function refusal(string $why): PlasmException
    {
        return PlasmException::of('protocol', "Cannot read answer: $why");
    }
}
