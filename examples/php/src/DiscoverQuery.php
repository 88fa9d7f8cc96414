<?php

declare(strict_types=1);

namespace Plasm;

/** What a node must offer to be found; what is left out does not matter. */
final class DiscoverQuery
{
    /** How long the daemon searches at most, in seconds. */
    public const MAX_TIMEOUT_SECONDS = 600;

    /**
     * @param string|null  $arch              processor architecture, such as x86_64 or aarch64
     * @param string|null  $runtime           name of the node's program, such as plasm
     * @param string|null  $wasi              such as preview1
     * @param list<string> $features          WebAssembly proposals, such as simd
     * @param int|null     $minMemoryMb       what one job may ask for at least, in MiB
     * @param int|null     $minTimeoutSeconds what one job may ask for at least, in seconds
     * @param int|null     $minCores          cores at least
     * @param int          $limit             nodes after which the search ends
     * @param int          $timeoutSeconds    limit of the search, which then returns the nodes found
     *
     * @throws PlasmException `usage` when a number is out of range
     */
    public function __construct(
        public readonly ?string $arch = null,
        public readonly ?string $runtime = null,
        public readonly ?string $wasi = null,
        public readonly array $features = [],
        public readonly ?int $minMemoryMb = null,
        public readonly ?int $minTimeoutSeconds = null,
        public readonly ?int $minCores = null,
        public readonly int $limit = 10,
        public readonly int $timeoutSeconds = 30,
    ) {
        if ($limit < 1) {
            throw PlasmException::of('usage', "Cannot discover nodes: limit must be positive, found $limit");
        }
        if ($timeoutSeconds < 1 || $timeoutSeconds > self::MAX_TIMEOUT_SECONDS) {
            $allowed = '1 to ' . self::MAX_TIMEOUT_SECONDS;
            throw PlasmException::of(
                'usage',
                "Cannot discover nodes: timeoutSeconds must be $allowed, found $timeoutSeconds",
            );
        }
    }

    /** @return array<string, mixed> the API's DiscoverQuery */
    public function fields(): array
    {
        return array_filter([
            'arch' => $this->arch,
            'runtime' => $this->runtime,
            'wasi' => $this->wasi,
            'features' => $this->features === [] ? null : array_values($this->features),
            'min_memory_mb' => $this->minMemoryMb,
            'min_timeout_seconds' => $this->minTimeoutSeconds,
            'min_cores' => $this->minCores,
            'limit' => $this->limit,
            'timeout_seconds' => $this->timeoutSeconds,
        ], static fn (mixed $value): bool => $value !== null);
    }
}
