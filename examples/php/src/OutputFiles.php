<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Document\Archive;
use Plasm\Document\JsonPath;
use Plasm\Files\Staging;
use Plasm\Http\Transport;

/**
 * Output files of a job with a verified receipt. Content is compared with the claim before it is returned or written.
 */
final class OutputFiles
{
    /** @var array<array-key, Measured> hash and size by guest path; that of an empty directory ends in a slash */
    public readonly array $files;

    /** @var list<string> outputs of the manifest of which the job left nothing */
    public readonly array $missing;

    /**
     * Use {@see JobResult::outputs()}.
     *
     * @param string  $path  route of the job
     * @param Receipt $receipt verified receipt
     */
    public function __construct(
        private readonly Transport $transport,
        private readonly string $path,
        Receipt $receipt,
        Manifest $manifest,
    ) {
        $this->files = $receipt->claim->outputs;
        $this->missing = self::missingOf($manifest->outputs, array_map(strval(...), array_keys($this->files)));
    }

    /**
     * Returns the content of one file.
     *
     * @throws PlasmException `not-found` if the job returned no such file; `too-large` if it exceeds
     *                        {@see Limits::$bodyBytes}; `bad-receipt` if it differs from the claim
     */
    public function content(string $path): string
    {
        self::checkSize($this->measured($path)->bytes, $this->transport->limits->bodyBytes);
        return implode('', iterator_to_array($this->one($path), false));
    }

    /**
     * Returns the content of all files by guest path; that of an empty directory is empty.
     *
     * @return array<array-key, string>
     *
     * @throws PlasmException `too-large` if they exceed {@see Limits::$bodyBytes} together; `bad-receipt`, `protocol`
     */
    public function contents(): array
    {
        self::checkSize($this->size(), $this->transport->limits->bodyBytes);
        $contents = [];
        foreach ($this->all() as $path => $part) {
            $contents[$path] = ($contents[$path] ?? '') . $part;
        }
        return $contents;
    }

    /**
     * Writes one file, once it has been verified. It appears under its name whole or not at all.
     *
     * @param string $path  guest path
     * @param string $host  path on this machine; its directory exists
     * @param bool   $force replace an existing file
     *
     * @throws PlasmException `conflict` if something exists at the path; `not-found`; `too-large` if it exceeds
     *                        {@see Limits::$filesBytes}; `bad-receipt`; `usage`; `state` if it cannot be written
     */
    public function saveFile(string $path, string $host, bool $force = false): void
    {
        self::checkSize($this->measured($path)->bytes, $this->transport->limits->filesBytes);
        if (str_ends_with($path, '/')) {
            throw PlasmException::of('usage', 'Cannot write output: it is a directory: ' . JsonPath::clip($path));
        }
        Staging::checkFree($host, $force, mayReplaceLink: $force);
        clearstatcache();
        $staging = new Staging(self::directory(dirname($host)));
        $staging->begin('0');
        foreach ($this->one($path) as $part) {
            $staging->write($part);
        }
        $staging->moveFile($host, $force);
    }

    /**
     * Writes all files below a directory by their guest paths, once all of them have been verified.
     *
     * @param string $host  directory; it is new or empty unless `force` is set, and its parent exists
     * @param bool   $force write into a directory that is not empty, and replace files
     * @return list<string> paths of the files
     *
     * @throws PlasmException `conflict` if the directory is not empty or something is in the way; `bad-input` if the
     *                        file system refuses a name; `too-large` if they exceed {@see Limits::$filesBytes}
     *                        together; `bad-receipt`, `protocol`; `usage`; `state` if they cannot be written
     */
    public function save(string $host, bool $force = false): array
    {
        self::checkSize($this->size(), $this->transport->limits->filesBytes);
        $host = rtrim($host, '/') ?: '/';
        clearstatcache();
        $beside = is_dir($host) ? $host : self::directory(dirname($host));
        if ($beside !== $host) {
            Staging::checkFree($host, false);
        } elseif (!$force && array_diff(scandir($host) ?: [], ['.', '..']) !== []) {
            throw PlasmException::of(
                'conflict',
                'Cannot write outputs: the directory is not empty: ' . JsonPath::clip($host),
                'Pass force: true to replace files in it',
            );
        }
        $staging = new Staging($beside);
        $last = null;
        foreach ($this->all() as $path => $part) {
            if ($path !== $last) {
                $staging->begin($path === './' ? '' : ltrim($path, '/'));
                $last = $path;
            }
            $staging->write($part);
        }
        return $staging->moveTree($host, $force);
    }

    /** @return \Generator<string, string> */
    private function all(): \Generator
    {
        return $this->files === []
            ? (static fn (): \Generator => yield from [])()
            : Archive::read($this->transport->send('GET', "$this->path/outputs.tar")->chunks(), $this->files);
    }

    /** @return \Generator<int, string> */
    private function one(string $path): \Generator
    {
        $wanted = $this->measured($path);
        if (str_ends_with($path, '/')) {
            return;
        }
        $context = hash_init('sha256');
        $bytes = 0;
        $name = rawurlencode($path);
        foreach ($this->transport->send('GET', "$this->path/outputs/$name")->chunks() as $part) {
            $bytes += strlen($part);
            if ($bytes > $wanted->bytes) {
                break;
            }
            hash_update($context, $part);
            yield $part;
        }
        $found = 'sha256:' . hash_final($context);
        if ($bytes !== $wanted->bytes || $found !== $wanted->hash->text) {
            $field = JsonPath::text(['claim', 'outputs', $path]);
            throw Document\ReceiptVerifier::error($field, "$field differs from the received file");
        }
    }

    private function measured(string $path): Measured
    {
        return $this->files[$path]
            ?? throw PlasmException::of('not-found', 'Cannot read output: the job returned no ' . JsonPath::clip($path));
    }

    private function size(): int
    {
        return array_sum(array_map(static fn (Measured $file): int => $file->bytes, $this->files));
    }

    private static function checkSize(int $bytes, int $allowed): void
    {
        if ($bytes > $allowed) {
            throw PlasmException::of('too-large', "Cannot read outputs: they have $bytes bytes, limit $allowed", details: [
                'requested' => $bytes,
                'allowed' => $allowed,
            ]);
        }
    }

    private static function directory(string $path): string
    {
        return is_dir($path) ? $path : throw PlasmException::of(
            'usage',
            'Cannot write outputs: the directory does not exist: ' . JsonPath::clip($path),
        );
    }

    /**
     * @param list<string> $asked
     * @param list<string> $paths
     * @return list<string>
     */
    private static function missingOf(array $asked, array $paths): array
    {
        $isFound = static fn (string $output): bool => match (true) {
            !str_ends_with($output, '/') => in_array($output, $paths, true),
            $output === './' => array_filter($paths, static fn (string $one): bool => $one[0] !== '/') !== [],
            default => array_filter($paths, static fn (string $one): bool => str_starts_with($one, $output)) !== [],
        };
        return array_values(array_filter($asked, static fn (string $output): bool => !$isFound($output)));
    }
}
