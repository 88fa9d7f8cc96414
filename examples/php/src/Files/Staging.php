<?php

declare(strict_types=1);

namespace Plasm\Files;

use Plasm\Document\JsonPath;
use Plasm\PlasmException;

/**
 * Private directory beside a target. Content has a number for a name in it until all of it has been verified; then
 * files are renamed to their places, so that no place ever has half a file.
 */
final class Staging
{
    /** Most bytes of a name and of a path on Linux file systems. */
    private const MAX_NAME = 255;
    private const MAX_PATH = 4095;

    private readonly string $dir;

    /** @var array<string, string> staged file by name below the target; directories end in a slash */
    private array $staged = [];

    /** @var resource|null */
    private $file = null;

    /** @param string $beside existing directory */
    public function __construct(private readonly string $beside)
    {
        $this->dir = "$beside/.plasm-" . bin2hex(random_bytes(8));
        self::orFail($beside, fn (): bool => mkdir($this->dir, 0700) && mkdir("$this->dir/tree"));
    }

    public function __destruct()
    {
        $this->end();
        self::remove($this->dir);
    }

    /**
     * Starts a file, or adds a directory.
     *
     * @param string $name relative name below the target
     *
     * @throws PlasmException `bad-input` if the name cannot be used; `state`
     */
    public function begin(string $name): void
    {
        $this->end();
        if (isset($this->staged[$name])) {
            throw self::refuse($name, 'two outputs have this name');
        }
        $source = "$this->dir/" . count($this->staged);
        $this->staged[$name] = $source;
        if (!self::isDirectory($name)) {
            self::orFail($name, function () use ($source): bool {
                $file = fopen($source, 'xb');
                $this->file = $file === false ? null : $file;
                return $file !== false;
            });
        }
    }

    /**
     * Appends to the current file.
     *
     * @throws PlasmException `state`, such as for a full disk
     */
    public function write(string $part): void
    {
        if ($this->file !== null && $part !== '') {
            $name = (string) array_key_last($this->staged);
            self::orFail($name, fn (): bool => fwrite($this->file, $part) === strlen($part));
        }
    }

    /**
     * Moves the only file to its place.
     *
     * @throws PlasmException `conflict` if the place is taken; `state`
     */
    public function moveFile(string $host, bool $force): void
    {
        $this->end();
        self::checkFree($host, $force, mayReplaceLink: $force);
        $source = (string) reset($this->staged);
        self::orFail($host, static fn (): bool => rename($source, $host));
    }

    /**
     * Moves all files into a directory. Every name is tried in the staging directory first.
     *
     * @return list<string> paths of the files
     *
     * @throws PlasmException `bad-input` if a name cannot be used; `conflict` if a place is taken; `state`
     */
    public function moveTree(string $host, bool $force): array
    {
        $this->end();
        foreach ($this->staged as $name => $source) {
            $this->place((string) $name, $source, $host);
        }
        $names = array_map(strval(...), array_keys($this->staged));
        $files = array_values(array_filter($names, static fn (string $name): bool => !self::isDirectory($name)));
        $places = array_map(static fn (string $name): string => "$host/$name", $files);
        if (self::typeOf($host) === null) {
            self::orFail($host, fn (): bool => rename("$this->dir/tree", $host));
            return $places;
        }
        $parents = [];
        foreach ($names as $name) {
            for ($end = 0; ($end = strpos($name, '/', $end)) !== false; $end++) {
                $parents[substr($name, 0, $end)] = true;
            }
        }
        foreach (array_keys($parents) as $parent) {
            if (!in_array(self::typeOf("$host/$parent"), [null, 'dir'], true)) {
                throw self::taken("$host/$parent", 'a link or a file is in the way of a directory');
            }
        }
        foreach ($places as $place) {
            self::checkFree($place, $force);
        }
        foreach (array_keys($parents) as $parent) {
            self::orFail($host, static fn (): bool => self::typeOf("$host/$parent") !== null || mkdir("$host/$parent"));
        }
        foreach ($files as $index => $name) {
            self::orFail($name, fn (): bool => rename("$this->dir/tree/$name", $places[$index]));
        }
        return $places;
    }

    /**
     * Checks that a file can have a name.
     *
     * @throws PlasmException `conflict`
     */
    public static function checkFree(string $host, bool $force, bool $mayReplaceLink = false): void
    {
        $type = self::typeOf($host);
        match (true) {
            $type === null, $type === 'link' && $mayReplaceLink, $type === 'file' && $force => null,
            $type === 'file' => throw self::taken($host, 'the file exists', 'Pass force: true to replace it'),
            $type === 'dir' => throw self::taken($host, 'a directory is in the way'),
            $type === 'link' => throw self::taken($host, 'a symbolic link is in the way'),
            default => throw self::taken($host, 'a device or a pipe is in the way'),
        };
    }

    private function place(string $name, string $source, string $host): void
    {
        if (strlen("$host/$name") > self::MAX_PATH || max(array_map(strlen(...), explode('/', $name))) > self::MAX_NAME) {
            throw self::refuse($name, 'the name is too long for this file system');
        }
        $place = "$this->dir/tree/$name";
        $parent = self::isDirectory($name) ? $place : dirname($place);
        $isMade = is_dir($parent) || @mkdir($parent, 0777, true);
        if (self::isDirectory($name) && $isMade) {
            return;
        }
        // Two names that differ in case, on a file system that does not distinguish them.
        if (!$isMade || self::typeOf($place) !== null || !@rename($source, $place)) {
            throw self::refuse($name, 'the file system refuses the name');
        }
    }

    private function end(): void
    {
        if ($this->file !== null) {
            fclose($this->file);
            $this->file = null;
        }
    }

    private static function isDirectory(string $name): bool
    {
        return $name === '' || str_ends_with($name, '/');
    }

    /** Type of what is at a path, without following a link; null if there is nothing. */
    private static function typeOf(string $path): ?string
    {
        clearstatcache(true, $path);
        $type = @filetype($path);
        return $type === false ? null : $type;
    }

    private static function refuse(string $name, string $why): PlasmException
    {
        $shown = JsonPath::clip($name);
        return PlasmException::of('bad-input', "Cannot write output $shown: $why", details: ['path' => $name]);
    }

    private static function taken(string $host, string $why, ?string $hint = null): PlasmException
    {
        return PlasmException::of('conflict', "Cannot write output: $why: " . JsonPath::clip($host), $hint);
    }

    /** @param callable(): bool $write */
    private static function orFail(string $what, callable $write): void
    {
        error_clear_last();
        if (!@$write()) {
            $why = error_get_last()['message'] ?? 'unknown reason';
            throw PlasmException::of('state', 'Cannot write output ' . JsonPath::clip($what) . ": $why");
        }
    }

    private static function remove(string $path): void
    {
        if (self::typeOf($path) !== 'dir') {
            @unlink($path);
            return;
        }
        foreach (array_diff(scandir($path) ?: [], ['.', '..']) as $name) {
            self::remove("$path/$name");
        }
        @rmdir($path);
    }
}
