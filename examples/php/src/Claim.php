<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Document\CanonicalJson;

/**
 * What was run and what came out. Nodes that run the same job honestly have equal claims, unless the job used a source
 * of nondeterminism or was stopped from outside.
 */
final class Claim
{
    public readonly string $manifestHash;
    public readonly string $moduleHash;
    public readonly string $stdinHash;

    /** Hash and length of standard output. */
    public readonly Measured $stdout;

    /** Hash and length of standard error. */
    public readonly Measured $stderr;

    /** @var array<array-key, Measured> files returned by guest path; PHP turns a numeric path to an integer */
    public readonly array $outputs;

    public readonly Outcome $status;

    /** The job's exit code, if it exited. */
    public readonly ?int $exitCode;

    /** Instructions executed, if they were counted. */
    public readonly ?int $fuel;

    public readonly Profile $profile;

    /** @var list<string> sources of nondeterminism that the job used: clock, poll, random */
    public readonly array $nondeterminism;

    /** @param \stdClass $document matches the schema */
    public function __construct(private readonly \stdClass $document)
    {
        $this->manifestHash = $document->manifest_hash;
        $this->moduleHash = $document->module_hash;
        $this->stdinHash = $document->stdin_hash;
        $this->stdout = self::measured($document->stdout);
        $this->stderr = self::measured($document->stderr);
        $this->outputs = array_map(self::measured(...), (array) $document->outputs);
        $this->status = Outcome::from($document->status);
        $this->exitCode = $document->exit_code;
        $this->fuel = $document->fuel ?? null;
        $this->profile = Profile::from($document->profile);
        $this->nondeterminism = $document->nondeterminism;
    }

    /** SHA-256 of the canonical JSON. */
    public function hash(): Hash
    {
        return Hash::of($this->toJson());
    }

    /** The claim as canonical JSON. */
    public function toJson(): string
    {
        return CanonicalJson::encode($this->document);
    }

    private static function measured(\stdClass $content): Measured
    {
        return new Measured(Hash::parse($content->hash), $content->bytes);
    }
}
