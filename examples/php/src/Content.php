<?php

declare(strict_types=1);

namespace Plasm;

/** Content to send: in memory, or in a file that is read in chunks. */
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

    /** Content in memory. */
    public static function bytes(string $bytes): self
    {
        return new self(Hash::of($bytes), strlen($bytes), $bytes);
    }

    /**
     * Content of a file, which is read once now for its hash and again when it is sent.
     *
     * @throws PlasmException `bad-input` if it cannot be read
     */
    public static function file(string $path): self
    {
        return new self(Hash::ofFile($path), (int) filesize($path), null, $path);
    }

    /** Converts a string to content; returns content unchanged. */
    public static function of(string|self $content): self
    {
        return is_string($content) ? self::bytes($content) : $content;
    }

    /**
     * Returns all bytes.
     *
     * @throws PlasmException `bad-input` if the file can no longer be read
     */
    public function text(): string
    {
        return $this->bytes ?? implode('', iterator_to_array($this->chunks(), false));
    }

    /**
     * Returns a request body: the bytes in memory, or the file in chunks.
     *
     * @return string|iterable<string>
     */
    public function body(): string|iterable
    {
        return $this->bytes ?? $this->chunks();
    }

    /** @return \Generator<int, string> */
    private function chunks(): \Generator
    {
        $file = @fopen($this->path, 'rb');
        if ($file === false) {
            throw PlasmException::of('bad-input', "Cannot read file: $this->path");
        }
        try {
            while (!feof($file)) {
                $chunk = fread($file, self::PIECE);
                yield $chunk === false
                    ? throw PlasmException::of('bad-input', "Cannot read file: $this->path")
                    : $chunk;
            }
        } finally {
            fclose($file);
        }
    }
}
