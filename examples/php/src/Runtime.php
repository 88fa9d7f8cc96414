<?php

declare(strict_types=1);

namespace Plasm;

/** Software of a node, as reported by it. */
final class Runtime
{
    /**
     * @param string $name    software name
     * @param string $version software version
     * @param string $engine  WebAssembly engine and its version
     * @param string $arch    processor architecture, such as x86_64 or aarch64
     */
    public function __construct(
        public readonly string $name,
        public readonly string $version,
        public readonly string $engine,
        public readonly string $arch,
    ) {
    }
}
