<?php

declare(strict_types=1);

namespace Plasm\Http;

use Plasm\Address;
use Plasm\Document\Json;
use Plasm\Limits;
use Plasm\PlasmException;
use Plasm\Timeouts;

/** Sends HTTP/1.1 requests to a daemon, one connection each: on a Unix socket that costs microseconds. */
final class Transport
{
    /** Maximum number of interim responses, such as 100 Continue. */
    private const MAX_INTERIM = 8;

    public function __construct(
        private readonly Address $address,
        private readonly Timeouts $timeouts,
        public readonly Limits $limits,
    ) {
    }

    /** Returns a transport with a longer read timeout, in milliseconds, for requests that search before responding. */
    public function withExtraReadTime(int $ms): self
    {
        $timeouts = new Timeouts(
            connectMs: $this->timeouts->connectMs,
            readMs: $this->timeouts->readMs + $ms,
            requestMs: $this->timeouts->requestMs + $ms,
        );
        return new self($this->address, $timeouts, $this->limits);
    }

    /**
     * Sends a request; the response's body is not read yet.
     *
     * @param string                       $path percent-encoded path
     * @param string|iterable<string>|null $body a string is sent with its length, anything else in chunks
     * @param Deadline|null                $deadline null: the client's request timeout
     *
     * @throws PlasmException the daemon's own error; `no-daemon`, `protocol`, `interrupted`
     */
    public function send(
        string $method,
        string $path,
        string|iterable|null $body = null,
        string $type = 'application/octet-stream',
        ?Deadline $deadline = null,
    ): Response {
        $deadline ??= Deadline::after($this->timeouts->requestMs);
        $socket = Socket::connect($this->address, $this->timeouts, $deadline);
        try {
            $this->write($socket, $this->head($method, $path, $body, $type), $body);
            return $this->receive($socket, $method);
        } catch (\Throwable $error) {
            $socket->close();
            throw $error;
        }
    }

    /**
     * Sends a request with a JSON body; its response is read later, so that many may be open at once.
     *
     * @param array<string, mixed> $json request body
     *
     * @throws PlasmException `no-daemon`, `interrupted`
     */
    public function start(string $method, string $path, array $json): PendingResponse
    {
        $socket = Socket::connect($this->address, $this->timeouts, Deadline::after($this->timeouts->requestMs));
        try {
            $body = Json::encode((object) $json);
            $this->write($socket, $this->head($method, $path, $body, 'application/json'), $body);
        } catch (\Throwable $error) {
            $socket->close();
            throw $error;
        }
        $receive = function () use ($socket, $method): Response {
            try {
                return $this->receive($socket, $method);
            } catch (\Throwable $error) {
                $socket->close();
                throw $error;
            }
        };
        return new PendingResponse($socket, $receive, $this->limits->bodyBytes);
    }

    private function receive(Socket $socket, string $method): Response
    {
        $response = $this->readHead($socket, $method);
        return $response->isSuccess() ? $response : throw $this->error($response);
    }

    /**
     * Sends a request and reads a JSON response.
     *
     * @param array<string, mixed>|null $json request body
     *
     * @throws PlasmException as {@see Transport::send()}; `protocol` if the response is not a JSON object
     */
    public function json(string $method, string $path, ?array $json = null): Fields
    {
        $body = $json === null ? null : Json::encode((object) $json);
        $text = $this->send($method, $path, $body, 'application/json')->text($this->limits->bodyBytes);
        return new Fields(Json::decode($text, 'protocol', "response to $path"), $path);
    }

    private function head(string $method, string $path, mixed $body, string $type): string
    {
        $head = "$method $path HTTP/1.1\r\nHost: {$this->address->host}\r\nConnection: close\r\n";
        if ($this->address->token !== null) {
            $head .= "Authorization: Bearer {$this->address->token}\r\n";
        }
        if ($body !== null) {
            $head .= "Content-Type: $type\r\n";
            $head .= is_string($body) ? 'Content-Length: ' . strlen($body) : 'Transfer-Encoding: chunked';
            $head .= "\r\n";
        }
        return "$head\r\n";
    }

    /** @param string|iterable<string>|null $body */
    private function write(Socket $socket, string $head, string|iterable|null $body): void
    {
        if (!is_iterable($body)) {
            $socket->write($head . $body);
            return;
        }
        $accepted = $socket->write($head);
        foreach ($body as $chunk) {
            if (!$accepted) {
                return;
            }
            // An empty chunk would end the body.
            $accepted = $chunk === '' || $socket->write(dechex(strlen($chunk)) . "\r\n$chunk\r\n");
        }
        if ($accepted) {
            $socket->write("0\r\n\r\n");
        }
    }

    private function readHead(Socket $socket, string $method): Response
    {
        $left = $this->limits->headBytes;
        for ($interim = 0; $interim <= self::MAX_INTERIM; $interim++) {
            [$status, $headers] = $this->readOneHead($socket, $left);
            if ($status >= 200) {
                Body::checkFraming($headers);
                $hasBody = $method !== 'HEAD' && $status !== 204 && $status !== 304;
                return new Response($status, $headers, $socket, $hasBody);
            }
        }
        throw PlasmException::of('protocol', 'Cannot read response: too many interim responses');
    }

    /** @return array{int, array<string, string>} */
    private function readOneHead(Socket $socket, int &$left): array
    {
        $line = $this->readHeadLine($socket, $left);
        if (preg_match('~^HTTP/1\.[01] ([1-5][0-9]{2})(?: |$)~D', $line, $match) !== 1) {
            throw PlasmException::of('protocol', 'Cannot read response: not HTTP/1.1');
        }
        $headers = [];
        while (($line = $this->readHeadLine($socket, $left)) !== '') {
            if (preg_match('/^([!#$%&\'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/D', $line, $header) !== 1) {
                throw PlasmException::of('protocol', 'Cannot read response: a header is malformed');
            }
            $name = strtolower($header[1]);
            $headers[$name] = isset($headers[$name]) ? "$headers[$name], $header[2]" : $header[2];
        }
        return [(int) $match[1], $headers];
    }

    private function readHeadLine(Socket $socket, int &$left): string
    {
        $allowed = $this->limits->headBytes;
        $line = $socket->readLine($allowed);
        $left -= strlen($line) + 2;
        if ($left < 0) {
            throw PlasmException::of('protocol', "Cannot read response: head exceeds $allowed bytes");
        }
        return $line;
    }

    private function error(Response $response): PlasmException
    {
        $text = $response->text($this->limits->lineBytes);
        try {
            $error = Json::decode($text, 'protocol', 'error')->error ?? null;
        } catch (PlasmException) {
            $error = null;
        }
        if ($error !== null) {
            return PlasmException::fromJson($error);
        }
        // HEAD responses have no body for the error.
        return match ($response->status) {
            401 => PlasmException::of('unauthorized', 'Cannot serve request: the bearer token is missing or wrong'),
            403 => PlasmException::of('forbidden', 'Cannot serve request: origin is not allowed'),
            404 => PlasmException::of('not-found', 'Not found'),
            default => PlasmException::of(
                'protocol',
                "Cannot read response: HTTP $response->status without an error",
            ),
        };
    }
}
