<?php

/*
 * Fake daemon with scripted responses, for behaviour that a real one does not show.
 *
 * Usage: php fake_daemon.php SOCKET, with a line of JSON on standard input: a list with one entry a connection,
 * {"read": "head"|"all"|"none", "write": [base64, …], "then": "close"|"keep"}. Writes "ready", then for each
 * connection what it read, in base64.
 */

declare(strict_types=1);

[, $path] = $argv;
$connections = json_decode((string) fgets(STDIN), true, flags: JSON_THROW_ON_ERROR);
$server = stream_socket_server("unix://$path") ?: exit(1);
echo "ready\n";
$open = [];
foreach ($connections as ['read' => $read, 'write' => $write, 'then' => $then]) {
    $client = stream_socket_accept($server, 60) ?: exit(1);
    $request = '';
    $isDone = static function (string $request) use ($read): bool {
        $end = strpos($request, "\r\n\r\n");
        if ($read === 'none' || ($end !== false && $read === 'head')) {
            return true;
        }
        if ($end === false) {
            return false;
        }
        $body = substr($request, $end + 4);
        if (preg_match('/^content-length: (\d+)/mi', $request, $match) === 1) {
            return strlen($body) >= (int) $match[1];
        }
        return stripos($request, "transfer-encoding: chunked") === false || str_ends_with($body, "0\r\n\r\n");
    };
    while (!$isDone($request)) {
        $chunk = (string) fread($client, 65536);
        if ($chunk === '') {
            break;
        }
        $request .= $chunk;
    }
    foreach ($write as $part) {
        // The client may have disconnected.
        @fwrite($client, (string) base64_decode($part));
    }
    if ($then === 'keep') {
        $open[] = $client;
    } else {
        fclose($client);
    }
    // Last: must not be read before the response.
    echo base64_encode($request), "\n";
}
// Until the end of the test.
stream_get_contents(STDIN);
