<?php

declare(strict_types=1);

namespace Plasm;

/** Address of a daemon: its Unix socket, or loopback TCP with a token. */
final class Address
{
    /** Socket path of the packaged systemd unit. */
    private const SYSTEM_SOCKET = '/run/plasm/plasm.sock';

    /** Size of sun_path (unix(7)) without the final NUL; PHP would truncate a longer path and connect elsewhere. */
    private const MAX_SOCKET_PATH = 107;

    /**
     * @param string      $target address for stream_socket_client()
     * @param string      $host   value of the Host header
     * @param string|null $token  bearer token
     */
    private function __construct(
        public readonly string $target,
        public readonly string $host,
        public readonly ?string $token = null,
    ) {
    }

    /**
     * Address of a Unix socket.
     *
     * @throws PlasmException `usage` if the path is too long
     */
    public static function unix(string $path): self
    {
        if ($path === '' || strlen($path) > self::MAX_SOCKET_PATH || str_contains($path, "\0")) {
            $size = strlen($path);
            $allowed = '1 to ' . self::MAX_SOCKET_PATH;
            throw PlasmException::of('usage', "Cannot use socket: path must have $allowed bytes, found $size");
        }
        return new self("unix://$path", 'plasm');
    }

    /**
     * Address on loopback TCP.
     *
     * @param string $url   such as http://127.0.0.1:7433
     * @param string $token content of the daemon's api.tcp.token_file
     *
     * @throws PlasmException `usage` if the URL is not on loopback: the token would be sent unencrypted
     */
    public static function tcp(string $url, string $token): self
    {
        if (preg_match('~^http://((?:127\.0\.0\.1|localhost|\[::1\]):[0-9]{1,5})/?$~D', $url, $match) !== 1) {
            $allowed = 'http://127.0.0.1:PORT, or localhost or [::1]';
            throw PlasmException::of('usage', "Cannot use URL: must be $allowed");
        }
        $token = trim($token);
        if (preg_match('/^[\x21-\x7e]{1,4096}$/D', $token) !== 1) {
            throw PlasmException::of('usage', 'Cannot use token: must be printable ASCII without spaces');
        }
        return new self("tcp://$match[1]", $match[1], $token);
    }

    /**
     * Finds the daemon's socket on this machine: `$PLASM_SOCKET` if set, else the first existing one of
     * `/run/plasm/plasm.sock` and `$XDG_RUNTIME_DIR/plasm/plasm.sock`.
     *
     * @param array<string, string>|null $env environment; null: that of the process
     *
     * @throws PlasmException `no-daemon` if no socket exists
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
            'Start one with plasm daemon, or set PLASM_SOCKET to its socket',
            details: ['sockets' => $paths],
        );
    }
}
