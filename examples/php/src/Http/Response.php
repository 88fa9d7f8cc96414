<?php

declare(strict_types=1);

namespace Plasm\Http;

use Plasm\PlasmException;

/** An answer whose body is still to be read, once. */
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
     * The body piece by piece; the connection is closed at its end, or when the reader stops.
     *
     * @return \Generator<int, string>
     *
     * @throws PlasmException `no-daemon` when it breaks off; `protocol`, `interrupted`
     */
    public function pieces(): \Generator
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
     * The whole body.
     *
     * @throws PlasmException `too-large` when it is over the cap; as {@see Response::pieces()}
     */
    public function text(int $maxBytes): string
    {
        $text = '';
        foreach ($this->pieces() as $piece) {
            $text .= $piece;
            if (strlen($text) > $maxBytes) {
                throw PlasmException::of('too-large', "Cannot read answer: it is over $maxBytes bytes", details: [
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
