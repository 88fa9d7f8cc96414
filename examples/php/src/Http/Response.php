<?php

declare(strict_types=1);

namespace Plasm\Http;

use Plasm\PlasmException;

/** Response whose body can be read once. */
final class Response
{
    /**
     * @param array<string, string> $headers by lowercase name
     */
    public function __construct(
        public readonly int $status,
        public readonly array $headers,
        private readonly Socket $socket,
        private readonly bool $hasBody,
    ) {
    }

    public function isSuccess(): bool
    {
        return $this->status >= 200 && $this->status < 300;
    }

    /**
     * Yields the body in chunks; the connection is closed at its end, or when iteration stops.
     *
     * @return \Generator<int, string>
     *
     * @throws PlasmException `no-daemon` if it ends early; `protocol`, `interrupted`
     */
    public function chunks(): \Generator
    {
        try {
            if ($this->hasBody) {
                yield from Body::read($this->socket, $this->headers);
            }
        } finally {
            $this->socket->close();
        }
    }

    /**
     * Reads the whole body.
     *
     * @throws PlasmException `too-large` if it exceeds the limit; as {@see Response::chunks()}
     */
    public function text(int $maxBytes): string
    {
        $text = '';
        foreach ($this->chunks() as $chunk) {
            $text .= $chunk;
            if (strlen($text) > $maxBytes) {
                throw PlasmException::of('too-large', "Cannot read response: body exceeds $maxBytes bytes", details: [
                    'allowed' => $maxBytes,
                ]);
            }
        }
        return $text;
    }

    /** Closes the connection without reading the body. */
    public function close(): void
    {
        $this->socket->close();
    }
}
