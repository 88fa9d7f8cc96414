<?php

declare(strict_types=1);

namespace Plasm;

/**
 * Job to submit: module, manifest and inputs. Keep the object: the receipt is verified against it.
 */
final class Job
{
    /**
     * @param array<string, Content> $inputs guest path to content
     * @param string                 $nonce  64 hex digits that the receipt must contain
     */
    private function __construct(
        public readonly Manifest $manifest,
        public readonly Content $module,
        public readonly Content $stdin,
        public readonly array $inputs,
        public readonly string $nonce,
    ) {
    }

    /**
     * Creates a job. Strings are content; use {@see Content::file()} for files.
     *
     * @param array<string|Content>  $inputs   files by guest path; a path that ends in / is a directory
     * @param ManifestBuilder|null   $manifest arguments, environment, limits; null: defaults
     * @param string|null            $nonce    null: random, which prevents replay of old receipts
     *
     * @throws PlasmException `bad-manifest`, `usage`
     */
    public static function create(
        string|Content $module,
        string|Content $stdin = '',
        array $inputs = [],
        ?ManifestBuilder $manifest = null,
        ?string $nonce = null,
    ): self {
        $nonce ??= bin2hex(random_bytes(32));
        if (preg_match('/^[0-9a-f]{64}$/D', $nonce) !== 1) {
            throw PlasmException::of('usage', 'Cannot create job: nonce must be 64 lowercase hex digits');
        }
        $manifest ??= new ManifestBuilder();
        $module = Content::of($module);
        $stdin = Content::of($stdin);
        $inputs = array_map(Content::of(...), $inputs);
        if ($stdin->size > 0) {
            $manifest = $manifest->stdinHash($stdin->hash);
        }
        if ($inputs !== []) {
            $manifest = $manifest->inputs(array_map(static fn (Content $one): Hash => $one->hash, $inputs));
        }
        return new self($manifest->build($module->hash), $module, $stdin, $inputs, $nonce);
    }
}
