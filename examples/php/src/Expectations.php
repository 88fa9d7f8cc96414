<?php

declare(strict_types=1);

namespace Plasm;

/** What the verifier of a receipt knows. Only what is given is checked, beyond the receipt's own consistency. */
final class Expectations
{
    /**
     * Strings for module, stdin, stdout and stderr are the bytes themselves.
     *
     * @param string|Absent          $key      the node's Ed25519 public key, in hex
     * @param string|Absent          $peerId   the node's peer id
     * @param string|Absent          $jobId    the job's id
     * @param string|Absent          $nonce    the nonce that was sent with the job
     * @param Manifest|Absent        $manifest the manifest that was sent; binds module and stdin where it names them
     * @param string|Hash|Absent     $module   the module that was sent
     * @param string|Hash|Absent     $stdin    the standard input that was sent
     * @param string|Measured|Absent $stdout   the standard output that was received
     * @param string|Measured|Absent $stderr   the standard error that was received
     * @param Window|Absent          $window   when the job can have run
     *
     * @throws PlasmException `usage` when neither key nor peer id is given: anyone can sign with a key of
     *                        their own
     */
    public function __construct(
        public readonly string|Absent $key = Absent::Value,
        public readonly string|Absent $peerId = Absent::Value,
        public readonly string|Absent $jobId = Absent::Value,
        public readonly string|Absent $nonce = Absent::Value,
        public readonly Manifest|Absent $manifest = Absent::Value,
        public readonly string|Hash|Absent $module = Absent::Value,
        public readonly string|Hash|Absent $stdin = Absent::Value,
        public readonly string|Measured|Absent $stdout = Absent::Value,
        public readonly string|Measured|Absent $stderr = Absent::Value,
        public readonly Window|Absent $window = Absent::Value,
    ) {
        if ($key === Absent::Value && $peerId === Absent::Value) {
            throw PlasmException::of('usage', 'Cannot verify receipt: neither key nor peerId is pinned', hint:
                'Pin the key of a node that you trust: anyone can sign a receipt with a key of their own');
        }
    }
}
