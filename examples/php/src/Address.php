<?php

declare(strict_types=1);

namespace Plasm;

/** Where a daemon is: its unix socket, or loopback TCP with a token. */
final class Address
{
    /** Where systemd's unit keeps the socket. */
    private const SYSTEM_SOCKET = '/run/plasm/plasm.sock';

    /** sun_path of unix(7) without the final NUL; PHP would cut a longer path and connect elsewhere. */
    private const MAX_SOCKET_PATH = 107;

    /**
     * @param string      $target as stream_socket_client() takes it
     * @param string      $host   for the Host header
     * @param string|null $token  bearer token
     */
    private function __construct(
        public readonly string $target,
        public readonly string $host,
        public readonly ?string $token = null,
    ) {
    }

    /**
     * A unix socket.
     *
     * @throws PlasmException `usage` when the path is too long for one
     */
    public static function unix(string $path): self
    {
        if ($path === '' || strlen($path) > self::MAX_SOCKET_PATH || str_contains($path, "\0")) {
            $size = strlen($path);
            $allowed = '1 to ' . self::MAX_SOCKET_PATH;
            throw PlasmException::of('usage', "Cannot use socket: its path must have $allowed bytes, found $size");
        }
        return new self("unix://$path", 'plasm');
    }

    /**
     * Loopback TCP.
     *
     * @param string $url   such as http://127.0.0.1:7433
     * @param string $token content of the daemon's api.tcp.token_file
     *
     * @throws PlasmException `usage` when the URL leads elsewhere: the token would travel in the clear
     */
    public static function tcp(string $url, string $token): self
    {
        if (preg_match('~^http://((?:127\.0\.0\.1|localhost|\[::1\]):[0-9]{1,5})/?$~D', $url, $match) !== 1) {
            $allowed = 'http://127.0.0.1:PORT, or localhost or [::1]';
            throw PlasmException::of('usage', "Cannot use URL: it must be $allowed");
        }
        $token = trim($token);
        if (preg_match('/^[\x21-\x7e]{1,4096}$/D', $token) !== 1) {
            throw PlasmException::of('usage', 'Cannot use token: it must be printable ASCII without spaces');
        }
        return new self("tcp://$match[1]", $match[1], $token);
    }

    /**
     * The daemon's socket on this machine: only `$PLASM_SOCKET` where it is set, else the first that exists of
     * `/run/plasm/plasm.sock` and `$XDG_RUNTIME_DIR/plasm/plasm.sock`.
     *
     * @param array<string, string>|null $env the environment; null: the process's
     *
     * @throws PlasmException `no-daemon` when there is none
     */
    public static function discover(?array $env = null): self
    {
        $env ??= getenv();
        $paths = [self::SYSTEM_SOCKET];
        if (str_starts_with($env['XDG_RUNTIME_DIR'] ?? '', '/')) {
            $paths[] = $env['XDG_RUNTIME_DIR'] . '/plasm/plasm.sock';
        }
        if (($env['PLASM_SOCKET'] ?? '') !== '') {
            $paths = [$env['PLASM_SOCKET']];
        }
        foreach ($paths as $path) {
            if (file_exists($path)) {
                return self::unix($path);
            }
        }
        throw PlasmException::of(
            'no-daemon',
            'Cannot reach daemon: no socket at ' . implode(' or ', $paths),
            'Start one with plasm daemon, or name its socket with PLASM_SOCKET',
            details: ['sockets' => $paths],
        );
    }
}
