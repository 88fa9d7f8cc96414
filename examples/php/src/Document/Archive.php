<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\Measured;
use Plasm\PlasmException;

/**
 * Tar archive of a job's output files. It follows from the claim byte for byte (docs/protocol.md, "Output files"), so
 * that it is compared with the claim rather than parsed.
 */
final class Archive
{
    private const BLOCK = 512;

    private const MAX_NAME = 100;

    private const MAX_SIZE = 8 ** 11 - 1;

    private string $buffer = '';

    /** @param \Iterator<string> $chunks */
    private function __construct(private readonly \Iterator $chunks)
    {
    }

    /**
     * Yields the content in parts, by path; an empty file or directory has one empty part. A file is complete, and
     * its hash verified, when the next one begins or the iteration ends.
     *
     * @param \Iterator<string>            $chunks archive
     * @param array<array-key, Measured>   $files  files of a verified claim
     * @return \Generator<string, string>
     *
     * @throws PlasmException `protocol` if the archive is not that of the files; `bad-receipt` if a content differs
     */
    public static function read(\Iterator $chunks, array $files): \Generator
    {
        $archive = new self($chunks);
        foreach (CanonicalJson::names((object) $files) as $path) {
            ['hash' => $hash, 'bytes' => $bytes] = get_object_vars($files[$path]);
            $archive->expect(self::header($path, $bytes), $path);
            $context = hash_init('sha256');
            $left = $bytes;
            do {
                $part = $archive->take($left);
                hash_update($context, $part);
                $left -= strlen($part);
                yield $path => $part;
            } while ($left > 0);
            $archive->expect(self::padding($bytes), $path);
            $found = 'sha256:' . hash_final($context);
            if ($found !== $hash->text) {
                $field = JsonPath::text(['claim', 'outputs', $path]) . '.hash';
                throw ReceiptVerifier::error($field, "$field is $hash, received bytes hash to $found");
            }
        }
        $archive->expect(str_repeat("\0", 2 * self::BLOCK), 'the end');
        if ($archive->fill()) {
            throw self::error('bytes follow the end of the archive');
        }
    }

    /** Header of a file, or of a directory, whose path ends in a slash. */
    public static function header(string $path, int $bytes): string
    {
        $isPlain = strlen($path) <= self::MAX_NAME && preg_match('/[^\x00-\x7f]/', $path) === 0;
        $fits = $bytes <= self::MAX_SIZE;
        $type = str_ends_with($path, '/') ? '5' : '0';
        $header = self::block($isPlain ? $path : 'long', $fits ? $bytes : 0, $type);
        if ($isPlain && $fits) {
            return $header;
        }
        $pax = ($isPlain ? '' : self::record('path', $path)) . ($fits ? '' : self::record('size', (string) $bytes));
        return self::block('pax', strlen($pax), 'x') . $pax . self::padding(strlen($pax)) . $header;
    }

    private static function block(string $name, int $bytes, string $type): string
    {
        $mode = $type === '5' ? '0000755' : '0000644';
        $before = str_pad($name, 100, "\0") . "$mode\0" . "0000000\0" . "0000000\0"
            . sprintf("%011o\0", $bytes) . "00000000000\0";
        $after = str_pad($type, 101, "\0") . "ustar\0" . '00' . str_repeat("\0", 247);
        $sum = array_sum((array) unpack('C*', "$before        $after"));
        return $before . sprintf("%06o\0 ", $sum) . $after;
    }

    /** A pax record, whose length includes the digits of the length. */
    private static function record(string $key, string $value): string
    {
        $rest = " $key=$value\n";
        $length = strlen($rest) + 1;
        while (strlen((string) $length) + strlen($rest) !== $length) {
            $length++;
        }
        return $length . $rest;
    }

    private static function padding(int $bytes): string
    {
        return str_repeat("\0", (self::BLOCK - $bytes % self::BLOCK) % self::BLOCK);
    }

    private function expect(string $wanted, string $where): void
    {
        for ($at = 0; $at < strlen($wanted); $at += strlen($part)) {
            $part = $this->take(strlen($wanted) - $at);
            if ($part !== substr($wanted, $at, strlen($part))) {
                throw self::error('the archive differs from the claim at ' . JsonPath::clip($where));
            }
        }
    }

    /** Returns at most as many bytes, at least one unless the limit is 0. */
    private function take(int $limit): string
    {
        if ($limit > 0 && !$this->fill()) {
            throw self::error('the archive ends early');
        }
        $part = substr($this->buffer, 0, $limit);
        $this->buffer = substr($this->buffer, $limit);
        return $part;
    }

    private function fill(): bool
    {
        while ($this->buffer === '' && $this->chunks->valid()) {
            $this->buffer = $this->chunks->current();
            $this->chunks->next();
        }
        return $this->buffer !== '';
    }

    private static function error(string $why): PlasmException
    {
        return PlasmException::of('protocol', "Cannot use output files: $why");
    }
}
