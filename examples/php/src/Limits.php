<?php

declare(strict_types=1);

namespace Plasm;

/** How much of an answer a client takes into memory, in bytes. */
final class Limits
{
    /**
     * @param int $headBytes status line and headers
     * @param int $bodyBytes a body that is kept, such as a job's output; larger ones take {@see Client::output()}
     * @param int $lineBytes one event: at most 64 KiB of output in base64
     */
    public function __construct(
        public readonly int $headBytes = 65_536,
        public readonly int $bodyBytes = 67_108_864,
        public readonly int $lineBytes = 1_048_576,
    ) {
    }
}
