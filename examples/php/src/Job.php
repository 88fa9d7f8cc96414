<?php

declare(strict_types=1);

namespace Plasm;

/**
 * A job to submit: a module, what it may use, and what it is given. Keep it: it is what the receipt is checked
 * with.
 */
final class Job
{
    /**
     * @param array<string, Content> $inputs guest path to content
     * @param string                 $nonce  64 hex digits that the receipt must carry
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
     * Makes a job. Strings are bytes; {@see Content::file()} names a file.
     *
     * @param array<string|Content>  $inputs   files by guest path; a path that ends in / is a directory
     * @param ManifestBuilder|null   $manifest arguments, environment, limits; null: all defaults
     * @param string|null            $nonce    null: fresh random bytes, which is what keeps old receipts out
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
            throw PlasmException::of('usage', 'Cannot make job: nonce must be 64 lowercase hex digits');
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
