<?php

declare(strict_types=1);

namespace Plasm;

/** Builds a manifest from options and defaults. Every method returns a copy; {@see build()} validates. */
final class ManifestBuilder
{
    /** @var array<string, mixed> fields by schema name */
    private array $fields = [
        'version' => '0.2',
        'args' => [],
        'env' => [],
        'capabilities' => [],
        'priority' => 'normal',
        'idempotent' => false,
    ];

    /** @var array<string, int> */
    private array $resources = ['cpu_cores' => 1, 'memory_mb' => 256, 'timeout_seconds' => 60];

    /** Name of the program, argv[0]. Default main.wasm. */
    public function argv0(string $name): self
    {
        return $this->with('argv0', $name);
    }

    /** Arguments after argv[0]. */
    public function args(string ...$args): self
    {
        return $this->with('args', array_values($args));
    }

    /** Exported function of numbers to call with the arguments. Default the command. */
    public function invoke(string $name): self
    {
        return $this->with('invoke', $name);
    }

    /**
     * The job's whole environment; nothing is inherited from the node.
     *
     * @param array<string, string> $env
     */
    public function env(array $env): self
    {
        return $this->with('env', $env);
    }

    /** CPU cores. Default 1. */
    public function cpuCores(int $cores): self
    {
        return $this->allow('cpu_cores', $cores);
    }

    /** Total linear memory, in MiB. Default 256. */
    public function memoryMb(int $megabytes): self
    {
        return $this->allow('memory_mb', $megabytes);
    }

    /** Wall-clock limit including compilation, in seconds. Default 60. */
    public function timeoutSeconds(int $seconds): self
    {
        return $this->allow('timeout_seconds', $seconds);
    }

    /** CPU limit, in seconds. Default: the node's ceiling. */
    public function cpuSeconds(int $seconds): self
    {
        return $this->allow('cpu_seconds', $seconds);
    }

    /** Combined limit of standard output and error, in bytes. Default: the node's ceiling. */
    public function outputBytes(int $bytes): self
    {
        return $this->allow('output_bytes', $bytes);
    }

    /** Combined size of the returned files, in bytes. Default: the node's ceiling. */
    public function outputFilesBytes(int $bytes): self
    {
        return $this->allow('output_files_bytes', $bytes);
    }

    /** Limit of instructions, which are counted. Default: no limit, and they are not counted. */
    public function fuel(int $instructions): self
    {
        return $this->allow('fuel', $instructions);
    }

    /** Guest paths of the files to return; a path that ends in / is a directory with everything in it. */
    public function outputs(string ...$paths): self
    {
        return $this->with('outputs', array_values($paths));
    }

    /**
     * Virtual clocks and seeded randomness, so that every node gets the same claim.
     *
     * @param string|null $seed    64 lowercase hex digits; null: the digits of the manifest's hash
     * @param int|null    $epochMs start of the clocks, in milliseconds of Unix time; null: 0
     */
    public function deterministic(?string $seed = null, ?int $epochMs = null): self
    {
        $copy = $this->with('profile', Profile::Deterministic->value);
        $copy = $seed === null ? $copy : $copy->with('seed', $seed);
        return $epochMs === null ? $copy : $copy->with('epoch_ms', $epochMs);
    }

    /** Requirements for the executing node. */
    public function capabilities(string ...$capabilities): self
    {
        return $this->with('capabilities', array_values($capabilities));
    }

    /** Priority in the queue. Default normal. */
    public function priority(Priority $priority): self
    {
        return $this->with('priority', $priority->value);
    }

    /** Allow a re-run if a crash makes it unclear whether the job ran. Default no. */
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
     * Input files of the job.
     *
     * @param array<string, Hash> $inputs guest path to hash; a path that ends in / is a directory
     */
    public function inputs(array $inputs): self
    {
        return $this->with('inputs', array_map(static fn (Hash $hash): string => $hash->text, $inputs));
    }

    /**
     * Modification times of input files and of directories above them. Default 0.
     *
     * @param array<string, int> $times guest path to milliseconds of Unix time
     */
    public function inputTimes(array $times): self
    {
        return $this->with('input_times', $times);
    }

    /**
     * Builds the manifest of a job that runs the module.
     *
     * @throws PlasmException `bad-manifest`; `details.field` names the first invalid field
     */
    public function build(Hash $module): Manifest
    {
        $document = [...$this->fields, 'module_hash' => $module->text, 'resources' => (object) $this->resources];
        foreach (['env', 'inputs', 'input_times'] as $name) {
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
