<?php

declare(strict_types=1);

namespace Plasm;

/** A SHA-256, written "sha256:" and 64 lowercase hex digits. */
final class Hash implements \Stringable
{
    /** Of no bytes: the hash of a directory among inputs. */
    public const EMPTY = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

    private function __construct(public readonly string $text)
    {
    }

    /** Hash of bytes. */
    public static function of(string $bytes): self
    {
        return new self('sha256:' . hash('sha256', $bytes));
    }

    /**
     * Reads a hash.
     *
     * @throws PlasmException `usage` when it is none
     */
    public static function parse(string $text): self
    {
        if (preg_match('/^sha256:[0-9a-f]{64}$/D', $text) !== 1) {
            throw PlasmException::of('usage', 'Cannot read hash: it must be sha256: and 64 lowercase hex digits');
        }
        return new self($text);
    }

    /**
     * Hash of a file, read piece by piece.
     *
     * @throws PlasmException `bad-input` when it cannot be read
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
