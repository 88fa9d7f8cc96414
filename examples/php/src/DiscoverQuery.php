<?php

declare(strict_types=1);

namespace Plasm;

/** Requirements for discovered nodes; omitted ones match any node. */
final class DiscoverQuery
{
    /** Maximum duration of a search, in seconds. */
    public const MAX_TIMEOUT_SECONDS = 600;

    /**
     * @param string|null  $arch              processor architecture, such as x86_64 or aarch64
     * @param string|null  $runtime           name of the node's software, such as plasm
     * @param string|null  $wasi              WASI level, such as preview1
     * @param list<string> $features          WebAssembly proposals, such as simd
     * @param int|null     $minMemoryMb       minimum memory limit per job, in MiB
     * @param int|null     $minTimeoutSeconds minimum wall-clock limit per job, in seconds
     * @param int|null     $minCores          minimum number of cores
     * @param int          $limit             number of nodes after which the search stops
     * @param int          $timeoutSeconds    duration of the search, which then returns the nodes found
     *
     * @throws PlasmException `usage` if a number is out of range
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
