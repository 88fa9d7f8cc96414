<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Document\CanonicalJson;
use Plasm\Document\Json;
use Plasm\Document\ManifestInputs;
use Plasm\Document\Schema;

/** Manifest, format 0.2: a job's module, inputs and limits. Always valid; created by {@see ManifestBuilder}. */
final class Manifest
{
    /** Maximum size of a manifest as JSON, in bytes: fits ten thousand inputs and long arguments. */
    public const MAX_BYTES = 4194304;

    public readonly string $moduleHash;

    /** Hash of standard input, if the manifest binds it. */
    public readonly ?string $stdinHash;

    public readonly Profile $profile;

    /** Limit of instructions, if they are counted. */
    public readonly ?int $fuel;

    /** @var list<string> guest paths of the files to return */
    public readonly array $outputs;

    private readonly string $canonical;

    private function __construct(\stdClass $document)
    {
        $this->moduleHash = $document->module_hash;
        $this->stdinHash = $document->stdin_hash ?? null;
        $this->profile = Profile::from($document->profile ?? Profile::Default->value);
        $this->fuel = $document->resources->fuel ?? null;
        $this->outputs = $document->outputs ?? [];
        $this->canonical = CanonicalJson::encode($document);
    }

    /**
     * Parses a complete manifest.
     *
     * @throws PlasmException `bad-manifest` if it is not JSON, exceeds {@see Manifest::MAX_BYTES} or violates
     *                        the schema
     */
    public static function parse(string $json): self
    {
        return self::fromDocument(Json::parse($json, self::MAX_BYTES, 'bad-manifest', 'manifest'));
    }

    /**
     * Validates a document made of stdClass, lists, strings and integers.
     *
     * @throws PlasmException `bad-manifest`; `details.field` names the first invalid field
     */
    public static function fromDocument(mixed $document): self
    {
        Schema::named('manifest')->check($document, 'bad-manifest', 'Cannot accept manifest');
        ManifestInputs::check($document->inputs ?? new \stdClass(), $document->input_times ?? new \stdClass());
        self::checkProfile($document);
        return new self($document);
    }

    /** Fields of the deterministic profile are refused elsewhere: there they would have no effect. */
    private static function checkProfile(\stdClass $document): void
    {
        if (($document->profile ?? null) === Profile::Deterministic->value) {
            return;
        }
        foreach (['seed', 'epoch_ms'] as $field) {
            if (isset($document->{$field})) {
                throw PlasmException::of(
                    'bad-manifest',
                    "Cannot accept manifest: $field needs the profile deterministic",
                    details: ['field' => $field],
                );
            }
        }
    }

    /** SHA-256 of the canonical JSON, as in the receipt. */
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
