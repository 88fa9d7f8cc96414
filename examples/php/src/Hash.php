<?php

declare(strict_types=1);

namespace Plasm;

/** SHA-256 digest, written as "sha256:" and 64 lowercase hex digits. */
final class Hash implements \Stringable
{
    /** Hash of empty content; used for directories among inputs. */
    public const EMPTY = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

    private function __construct(public readonly string $text)
    {
    }

    /** Hashes bytes. */
    public static function of(string $bytes): self
    {
        return new self('sha256:' . hash('sha256', $bytes));
    }

    /**
     * Parses a hash.
     *
     * @throws PlasmException `usage` if it is invalid
     */
    public static function parse(string $text): self
    {
        if (preg_match('/^sha256:[0-9a-f]{64}$/D', $text) !== 1) {
            throw PlasmException::of('usage', 'Cannot read hash: must be sha256: and 64 lowercase hex digits');
        }
        return new self($text);
    }

    /**
     * Hashes a file in chunks.
     *
     * @throws PlasmException `bad-input` if it cannot be read
     */
    public static function ofFile(string $path): self
    {
        $digest = is_file($path) ? @hash_file('sha256', $path) : false;
        if ($digest === false) {
            throw PlasmException::of('bad-input', "Cannot read file: $path");
        }
        return new self("sha256:$digest");
    }

    public function __toString(): string
    {
        return $this->text;
    }
}
