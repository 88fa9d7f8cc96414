<?php

declare(strict_types=1);

namespace Plasm;

/** Maximum sizes of responses, in bytes. */
final class Limits
{
    /**
     * @param int $headBytes status line and headers
     * @param int $bodyBytes buffered body, such as a job's output; use {@see Client::output()} for larger ones
     * @param int $filesBytes output files that are written to disk, together
     * @param int $lineBytes one event: at most 64 KiB of output in base64
     */
    public function __construct(
        public readonly int $headBytes = 65_536,
        public readonly int $bodyBytes = 67_108_864,
        public readonly int $lineBytes = 1_048_576,
        public readonly int $filesBytes = 1_073_741_824,
    ) {
    }
}
