<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Document\CanonicalJson;
use Plasm\Document\Json;
use Plasm\Document\ManifestInputs;
use Plasm\Document\Schema;

/** A manifest, format 0.1: what a job is and what it may use. Always valid; {@see ManifestBuilder} makes one. */
final class Manifest
{
    /** Largest manifest, as JSON, in bytes: room for a thousand inputs and long arguments. */
    public const MAX_BYTES = 262144;

    public readonly string $moduleHash;

    /** Hash of standard input, where the manifest binds it. */
    public readonly ?string $stdinHash;

    private readonly string $canonical;

    private function __construct(\stdClass $document)
    {
        $this->moduleHash = $document->module_hash;
        $this->stdinHash = $document->stdin_hash ?? null;
        $this->canonical = CanonicalJson::encode($document);
    }

    /**
     * Reads a complete manifest.
     *
     * @throws PlasmException `bad-manifest` when it is not JSON, over {@see Manifest::MAX_BYTES} or does not follow
     *                        the schema
     */
    public static function parse(string $json): self
    {
        return self::fromDocument(Json::parse($json, self::MAX_BYTES, 'bad-manifest', 'manifest'));
    }

    /**
     * Checks a document that was made of stdClass, lists, strings and integers.
     *
     * @throws PlasmException `bad-manifest`; `details.field` names the first field that is wrong
     */
    public static function fromDocument(mixed $document): self
    {
        Schema::named('manifest')->check($document, 'bad-manifest', 'Cannot accept manifest');
        ManifestInputs::check($document->inputs ?? new \stdClass());
        return new self($document);
    }

    /** SHA-256 of the canonical JSON, as the receipt has it. */
    public function hash(): Hash
    {
        return Hash::of($this->canonical);
    }

    /** The manifest as canonical JSON. */
    public function toJson(): string
    {
        return $this->canonical;
    }
}
