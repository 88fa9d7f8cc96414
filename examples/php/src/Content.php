<?php

declare(strict_types=1);

namespace Plasm;

/** Bytes to send: at hand, or in a file that is read piece by piece. */
final class Content
{
    private const PIECE = 65_536;

    private function __construct(
        public readonly Hash $hash,
        public readonly int $size,
        private readonly ?string $bytes,
        private readonly string $path = '',
    ) {
    }

    /** Bytes at hand. */
    public static function bytes(string $bytes): self
    {
        return new self(Hash::of($bytes), strlen($bytes), $bytes);
    }

    /**
     * A file, which is read once now for its hash and once more when it is sent.
     *
     * @throws PlasmException `bad-input` when it cannot be read
     */
    public static function file(string $path): self
    {
        return new self(Hash::ofFile($path), (int) filesize($path), null, $path);
    }

    /** Content of either kind; a string is bytes. */
    public static function of(string|self $content): self
    {
        return is_string($content) ? self::bytes($content) : $content;
    }

    /**
     * All bytes in one string.
     *
     * @throws PlasmException `bad-input` when the file cannot be read any more
     */
    public function text(): string
    {
        return $this->bytes ?? implode('', iterator_to_array($this->pieces(), false));
    }

    /**
     * What a request sends: bytes at hand, or the file's piece by piece.
     *
     * @return string|iterable<string>
     */
    public function body(): string|iterable
    {
        return $this->bytes ?? $this->pieces();
    }

    /** @return \Generator<int, string> */
    private function pieces(): \Generator
    {
        $file = @fopen($this->path, 'rb');
        if ($file === false) {
            throw PlasmException::of('bad-input', "Cannot read file: $this->path");
        }
        try {
            while (!feof($file)) {
                $piece = fread($file, self::PIECE);
                yield $piece === false
                    ? throw PlasmException::of('bad-input', "Cannot read file: $this->path")
                    : $piece;
            }
        } finally {
            fclose($file);
        }
    }
}
