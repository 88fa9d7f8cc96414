<?php

declare(strict_types=1);

namespace Plasm;

/** What a verifier expects of a receipt. Omitted fields are not checked, except for the receipt's own consistency. */
final class Expectations
{
    /**
     * Strings for module, stdin, stdout, stderr and outputs are their content.
     *
     * @param string|Absent          $key      the node's Ed25519 public key, in hex
     * @param string|Absent          $peerId   the node's peer id
     * @param string|Absent          $jobId    the job's id
     * @param string|Absent          $nonce    nonce sent with the job
     * @param Manifest|Absent        $manifest manifest sent; binds module and stdin if it contains their hashes
     * @param string|Hash|Absent     $module   module sent
     * @param string|Hash|Absent     $stdin    standard input sent
     * @param string|Measured|Absent $stdout   standard output received
     * @param string|Measured|Absent $stderr   standard error received
     * @param array<array-key, string|Measured>|Absent $outputs all files received, by guest path
     * @param Window|Absent          $window   period in which the job ran
     *
     * @throws PlasmException `usage` if neither key nor peer id is set: a receipt can be signed with any key
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
        public readonly array|Absent $outputs = Absent::Value,
        public readonly Window|Absent $window = Absent::Value,
    ) {
        if ($key === Absent::Value && $peerId === Absent::Value) {
            throw PlasmException::of('usage', 'Cannot verify receipt: neither key nor peerId is pinned', hint:
                'Pin the key of a trusted node: a receipt can be signed with any key');
        }
    }
}
