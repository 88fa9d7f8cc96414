<?php

declare(strict_types=1);

namespace Plasm;

/** What runs jobs on a node, as the node says. */
final class Runtime
{
    /**
     * @param string $name    the node's program
     * @param string $version its version
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
