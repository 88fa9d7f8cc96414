<?php

declare(strict_types=1);

namespace Plasm\Http;

use Plasm\Document\Json;

/** Response to a request that has been sent. */
final class PendingResponse
{
    /**
     * Use {@see Transport::start()}.
     *
     * @param \Closure(): Response $receive
     */
    public function __construct(
        private readonly Socket $socket,
        private readonly \Closure $receive,
        private readonly int $maxBytes,
    ) {
    }

    /**
     * Waits until at least one response has begun to arrive.
     *
     * @param array<int, self> $all
     *
     * @return list<int> keys of those that can be read
     */
    public static function ready(array $all, int $timeoutMs): array
    {
        return Socket::readable(array_map(static fn (self $one): Socket => $one->socket, $all), $timeoutMs);
    }

    /**
     * Reads a JSON response.
     *
     * @throws \Plasm\PlasmException as {@see Transport::json()}
     */
    public function json(): Fields
    {
        $text = ($this->receive)()->text($this->maxBytes);
        return new Fields(Json::decode($text, 'protocol', 'response'), 'response');
    }

    /** Closes the connection. */
    public function close(): void
    {
        $this->socket->close();
    }
}
