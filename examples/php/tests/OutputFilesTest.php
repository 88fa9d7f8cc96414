<?php

declare(strict_types=1);

namespace Plasm\Tests;

use Plasm\Document\Archive;
use Plasm\Http\Transport;
use Plasm\Limits;
use Plasm\Manifest;
use Plasm\OutputFiles;
use Plasm\Receipt;
use Plasm\Timeouts;

/** Tests output files with a daemon that returns what the receipt claims, or something else. */
final class OutputFilesTest
{
    private const FILES = ['10' => 'ten', '9' => '', 'out/größe 😀.txt' => '12'];

    /** @param list<string> $responses */
    private static function outputs(array $responses, Limits $limits = new Limits()): OutputFiles
    {
        $vectors = Vectors::read('receipt');
        $receipt = Receipt::parse(json_encode($vectors->receipt, JSON_THROW_ON_ERROR));
        $receipt->verify(Vectors::expectations($vectors->expected));
        $manifest = Manifest::parse(json_encode($vectors->expected->manifest, JSON_THROW_ON_ERROR));
        $daemon = new FakeDaemon(array_map(static fn (string $one): array => ['write' => [$one]], $responses));
        // The daemon must live as long as the files.
        self::$daemons[] = $daemon;
        $transport = new Transport($daemon->address, new Timeouts(), $limits);
        return new OutputFiles($transport, '/v1/jobs/job', $receipt, $manifest);
    }

    /** @var list<FakeDaemon> */
    private static array $daemons = [];

    /** @param array<array-key, string> $files */
    private static function archive(array $files = self::FILES): string
    {
        $text = '';
        foreach ($files as $path => $content) {
            $size = strlen($content);
            $text .= Archive::header((string) $path, $size) . $content . str_repeat("\0", (512 - $size % 512) % 512);
        }
        return $text . str_repeat("\0", 1024);
    }

    /** @param callable(string): void $use */
    private static function inDirectory(callable $use): void
    {
        $dir = sys_get_temp_dir() . '/plasm-php-' . bin2hex(random_bytes(4));
        mkdir($dir);
        try {
            $use($dir);
        } finally {
            self::$daemons = [];
            exec('rm -rf ' . escapeshellarg($dir));
        }
    }

    /** @return array<string, string> content by path, of files and links */
    private static function tree(string $dir): array
    {
        clearstatcache();
        $found = [];
        foreach (array_diff(scandir($dir) ?: [], ['.', '..']) as $name) {
            $path = "$dir/$name";
            $below = is_dir($path) && !is_link($path) ? self::tree($path) : null;
            $found += $below === null
                ? [$name => filetype($path) === 'file' ? (string) file_get_contents($path) : filetype($path)]
                : ["$name/" => ''];
            foreach ($below ?? [] as $deeper => $content) {
                $found["$name/$deeper"] = $content;
            }
        }
        return $found;
    }

    private const SAVED = ['10' => 'ten', '9' => '', 'out/' => '', 'out/größe 😀.txt' => '12'];

    public function testReadsTheArchiveInPiecesOfAnySize(): void
    {
        foreach ([1, 7, 512, 100_000] as $size) {
            $outputs = self::outputs([FakeDaemon::chunked(str_split(self::archive(), $size))]);
            Check::same(self::FILES, $outputs->contents());
        }
        Check::same(['missing'], $outputs->missing);
        $one = self::outputs([FakeDaemon::response('ten')]);
        Check::same('ten', $one->content('10'));
        Check::matches('~^GET /v1/jobs/job/outputs/10 ~', self::$daemons[array_key_last(self::$daemons)]->request());
        Check::fails('not-found', fn () => $one->content('11'));
        self::$daemons = [];
    }

    public function testWritesAnArchiveThatTarExtracts(): void
    {
        self::inDirectory(static function (string $dir): void {
            $files = ['a' => '1', str_repeat('deep/', 60) . 'leaf' => '2', 'ü' => '3'];
            file_put_contents("$dir/a.tar", self::archive($files));
            Check::same(
                implode("\n", array_keys($files)) . "\n",
                (string) shell_exec('LC_ALL=C.UTF-8 tar -tf ' . escapeshellarg("$dir/a.tar") . ' --quoting-style=literal'),
            );
            $header = Archive::header('a', 9 * 2 ** 30);
            Check::matches('/13 size=9663676416|size=9663676416/', $header);
        });
    }

    public function testSavesVerifiedFilesOnly(): void
    {
        self::inDirectory(static function (string $dir): void {
            $archive = self::archive();
            $bad = [
                'other content' => [str_replace('ten', 'tex', $archive), 'bad-receipt'],
                'another name' => [self::archive(['10' => 'ten', '8' => '', 'out/größe 😀.txt' => '12']), 'protocol'],
                'more files' => [self::archive(['10' => 'ten', '11' => '', ...self::FILES]), 'protocol'],
                'fewer files' => [self::archive(['10' => 'ten', '9' => '']), 'protocol'],
                'another order' => [self::archive(array_reverse(self::FILES, true)), 'protocol'],
                'longer content' => [self::archive(['10' => 'ten!', '9' => '', 'out/größe 😀.txt' => '12']), 'protocol'],
                'bytes in the padding' => [substr_replace($archive, 'x', 600, 1), 'protocol'],
                'an escaping name' => [self::archive(['../10' => 'ten']), 'protocol'],
                'an early end' => [substr($archive, 0, -1), 'protocol'],
                'nothing' => ['', 'protocol'],
                'bytes after the end' => ["$archive\0", 'protocol'],
            ];
            foreach ($bad as $what => [$sent, $code]) {
                Check::fails($code, fn () => self::outputs([FakeDaemon::response($sent)])->save("$dir/new"), $what);
                Check::same([], self::tree($dir), $what);
            }
            $short = substr(FakeDaemon::response($archive), 0, -600);
            Check::fails('no-daemon', fn () => self::outputs([$short])->save("$dir/new"));
            foreach (['tex', 'te', 'ten!', ''] as $content) {
                $outputs = self::outputs([FakeDaemon::response($content)]);
                Check::fails('bad-receipt', fn () => $outputs->saveFile('10', "$dir/file"), $content);
            }
            Check::same([], self::tree($dir));
        });
    }

    public function testReplacesFilesOnlyIfForced(): void
    {
        self::inDirectory(static function (string $dir): void {
            $save = static fn (string $host, bool $force = false): array =>
                self::outputs([FakeDaemon::response(self::archive())])->save($host, $force);
            Check::same(["$dir/new/10", "$dir/new/9", "$dir/new/out/größe 😀.txt"], $save("$dir/new/"));
            Check::same(self::SAVED, self::tree("$dir/new"));
            Check::same(0777 & ~umask(), fileperms("$dir/new") & 0777);
            Check::same(0666 & ~umask(), fileperms("$dir/new/10") & 0777);
            Check::fails('conflict', fn () => $save("$dir/new"));
            file_put_contents("$dir/new/10", 'old');
            file_put_contents("$dir/new/own", 'mine');
            $save("$dir/new", true);
            Check::same(['own' => 'mine'], array_diff_key(self::tree("$dir/new"), self::SAVED));
            Check::same('ten', file_get_contents("$dir/new/10"));
            mkdir("$dir/empty");
            $save("$dir/empty");
            Check::same(self::SAVED, self::tree("$dir/empty"));
            file_put_contents("$dir/file", 'old');
            $one = static fn (string $path, bool $force = false): mixed =>
                self::outputs([FakeDaemon::response('ten')])->saveFile($path, "$dir/file", $force);
            Check::fails('conflict', fn () => $one('10'));
            Check::same('old', file_get_contents("$dir/file"));
            $one('10', true);
            Check::same('ten', file_get_contents("$dir/file"));
            Check::fails('usage', fn () => self::outputs([])->saveFile('10', "$dir/absent/file"));
            Check::fails('usage', fn () => self::outputs([])->save("$dir/absent/new"));
        });
    }

    public function testWritesNeverThroughLinksDirectoriesOrDevices(): void
    {
        self::inDirectory(static function (string $dir): void {
            mkdir("$dir/elsewhere");
            $prepare = [
                'a link as a directory' => static fn (string $at): bool => symlink("$dir/elsewhere", "$at/out"),
                'a link as a file' => static fn (string $at): bool => symlink("$dir/elsewhere/10", "$at/10"),
                'a file as a directory' => static fn (string $at): bool => touch("$at/out"),
                'a directory as a file' => static fn (string $at): bool => mkdir("$at/10"),
                'a pipe' => static fn (string $at): bool => posix_mkfifo("$at/10", 0600),
            ];
            foreach ($prepare as $what => $make) {
                if ($what === 'a pipe' && !function_exists('posix_mkfifo')) {
                    continue;
                }
                mkdir("$dir/at");
                $make("$dir/at");
                $before = self::tree("$dir/at");
                $outputs = self::outputs([FakeDaemon::response(self::archive())]);
                Check::fails('conflict', fn () => $outputs->save("$dir/at", true), $what);
                Check::same([$before, []], [self::tree("$dir/at"), self::tree("$dir/elsewhere")], $what);
                exec('rm -rf ' . escapeshellarg("$dir/at"));
            }
            symlink("$dir/elsewhere/10", "$dir/link");
            Check::fails('conflict', fn () => self::outputs([])->saveFile('10', "$dir/link"));
            self::outputs([FakeDaemon::response('ten')])->saveFile('10', "$dir/link", true);
            Check::same(['file', []], [filetype("$dir/link"), self::tree("$dir/elsewhere")]);
            mkdir("$dir/place");
            Check::fails('conflict', fn () => self::outputs([])->saveFile('10', "$dir/place", true));
        });
    }

    public function testCapsSizes(): void
    {
        $small = new Limits(bodyBytes: 4, filesBytes: 4);
        $outputs = self::outputs([], $small);
        Check::same(['requested' => 5, 'allowed' => 4], Check::fails('too-large', $outputs->contents(...))->details);
        Check::fails('too-large', fn () => $outputs->save('/nonexistent'));
        $tiny = self::outputs([], new Limits(bodyBytes: 2, filesBytes: 2));
        Check::fails('too-large', fn () => $tiny->content('10'));
        Check::fails('too-large', fn () => $tiny->saveFile('10', '/nonexistent/10'));
        self::$daemons = [];
    }
}
