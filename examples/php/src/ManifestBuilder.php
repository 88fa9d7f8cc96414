<?php

declare(strict_types=1);

namespace Plasm;

/** Makes a manifest from what is set and the defaults. Every method returns a copy; {@see build()} validates. */
final class ManifestBuilder
{
    /** @var array<string, mixed> fields as the schema names them */
    private array $fields = [
        'version' => '0.1',
        'args' => [],
        'env' => [],
        'capabilities' => [],
        'priority' => 'normal',
        'idempotent' => false,
    ];

    /** @var array<string, int> */
    private array $resources = ['cpu_cores' => 1, 'memory_mb' => 256, 'timeout_seconds' => 60];

    /** Arguments after argv[0]. */
    public function args(string ...$args): self
    {
        return $this->with('args', array_values($args));
    }

    /**
     * The job's whole environment; nothing of the node's is added.
     *
     * @param array<string, string> $env
     */
    public function env(array $env): self
    {
        return $this->with('env', $env);
    }

    /** Processor cores. Default 1. */
    public function cpuCores(int $cores): self
    {
        return $this->allow('cpu_cores', $cores);
    }

    /** Linear memories together, in MiB. Default 256. */
    public function memoryMb(int $megabytes): self
    {
        return $this->allow('memory_mb', $megabytes);
    }

    /** Wall time from start to end, compiling included, in seconds. Default 60. */
    public function timeoutSeconds(int $seconds): self
    {
        return $this->allow('timeout_seconds', $seconds);
    }

    /** CPU time, in seconds. Default: the node's ceiling. */
    public function cpuSeconds(int $seconds): self
    {
        return $this->allow('cpu_seconds', $seconds);
    }

    /** Standard output and error together, in bytes. Default: the node's ceiling. */
    public function outputBytes(int $bytes): self
    {
        return $this->allow('output_bytes', $bytes);
    }

    /** What a node must have to run the job. */
    public function capabilities(string ...$capabilities): self
    {
        return $this->with('capabilities', array_values($capabilities));
    }

    /** Which queue the job waits in. Default normal. */
    public function priority(Priority $priority): self
    {
        return $this->with('priority', $priority->value);
    }

    /** Whether the job may run again when a crash leaves open if it has run. Default no. */
    public function idempotent(bool $idempotent = true): self
    {
        return $this->with('idempotent', $idempotent);
    }

    /** Binds standard input. */
    public function stdinHash(Hash $hash): self
    {
        return $this->with('stdin_hash', $hash->text);
    }

    /**
     * Files given to the job.
     *
     * @param array<string, Hash> $inputs guest path to hash; a path that ends in / is a directory
     */
    public function inputs(array $inputs): self
    {
        return $this->with('inputs', array_map(static fn (Hash $hash): string => $hash->text, $inputs));
    }

    /**
     * The manifest of a job that runs the module.
     *
     * @throws PlasmException `bad-manifest`; `details.field` names the first field that is wrong
     */
    public function build(Hash $module): Manifest
    {
        $document = [...$this->fields, 'module_hash' => $module->text, 'resources' => (object) $this->resources];
        foreach (['env', 'inputs'] as $name) {
            if (isset($document[$name])) {
                $document[$name] = (object) $document[$name];
            }
        }
        return Manifest::fromDocument((object) $document);
    }

    private function with(string $name, mixed $value): self
    {
        $copy = clone $this;
        $copy->fields[$name] = $value;
        return $copy;
    }

    private function allow(string $name, int $limit): self
    {
        $copy = clone $this;
        $copy->resources[$name] = $limit;
        return $copy;
    }
}
