<?php

declare(strict_types=1);

namespace Plasm\Tests;

use Plasm\Content;
use Plasm\Hash;
use Plasm\Job;
use Plasm\Manifest;
use Plasm\ManifestBuilder;
use Plasm\Priority;

final class ManifestTest
{
    private static function build(ManifestBuilder $builder = new ManifestBuilder()): Manifest
    {
        return $builder->build(Hash::of('module'));
    }

    public function testBuildUsesDefaults(): void
    {
        $hash = Hash::of('module');
        Check::same(
            '{"args":[],"capabilities":[],"env":{},"idempotent":false,"module_hash":"' . $hash . '",'
                . '"priority":"normal","resources":{"cpu_cores":1,"memory_mb":256,"timeout_seconds":60},"version":"0.2"}',
            self::build()->toJson(),
        );
    }

    public function testBuilderSetsEachField(): void
    {
        $builder = (new ManifestBuilder())
            ->argv0('report')->args('--title', 'Größe')->env(['LANG' => 'C.UTF-8'])
            ->cpuCores(2)->memoryMb(1024)->timeoutSeconds(600)->cpuSeconds(300)->outputBytes(0)
            ->capabilities('wasi-preview1')->priority(Priority::High)->idempotent()
            ->stdinHash(Hash::of(''))
            ->inputs(['data/' => Hash::of(''), 'data/sub/in.csv' => Hash::of('x'), '7' => Hash::of('y')])
            ->inputTimes(['data/' => 1, 'data/sub/' => 2, '7' => 3]);
        $json = self::build($builder)->toJson();
        Check::same($json, Manifest::parse($json)->toJson());
        $document = json_decode($json);
        Check::same(['--title', 'Größe'], $document->args);
        Check::same(['cpu_cores' => 2, 'cpu_seconds' => 300, 'memory_mb' => 1024, 'output_bytes' => 0,
            'timeout_seconds' => 600], (array) $document->resources);
        Check::same(['high', true, Hash::EMPTY], [$document->priority, $document->idempotent, $document->stdin_hash]);
        Check::same(3, count((array) $document->inputs));
        Check::same(['report', 3], [$document->argv0, $document->input_times->{'7'}]);
    }

    public function testBuilderReturnsCopies(): void
    {
        $plain = new ManifestBuilder();
        $plain->args('x')->memoryMb(1);
        Check::same(self::build()->toJson(), self::build($plain)->toJson());
    }

    public function testBuildReportsTheInvalidField(): void
    {
        $new = new ManifestBuilder();
        $cases = [
            'resources.memory_mb' => $new->memoryMb(0),
            'resources.timeout_seconds' => $new->timeoutSeconds(86401),
            'resources.cpu_cores' => $new->cpuCores(-1),
            'resources.cpu_seconds' => $new->cpuSeconds(0),
            'resources.output_bytes' => $new->outputBytes(-1),
            'args[1]' => $new->args('a', "b\0"),
            'args[0]' => $new->args("\xff"),
            'args' => $new->args(...array_fill(0, 1025, '')),
            'env["A B"]' => $new->env(['A B' => '']),
            'env["1"]' => $new->env(['1' => '']),
            'env.A' => $new->env(['A' => 1]),
            'env.B' => $new->env(['B' => str_repeat('x', 32769)]),
            'env["A\n"]' => $new->env(["A\n" => '']),
            'env.__proto__' => $new->env(['__proto__' => '']),
            'capabilities' => $new->capabilities('a', 'a'),
            'capabilities[0]' => $new->capabilities("a\n"),
            'argv0' => $new->argv0("a\0"),
            'input_times.a' => $new->inputTimes(['a' => 1]),
            'input_times["a/"]' => $new->inputs(['a/b' => Hash::of('1')])->inputTimes(['a/' => -1]),
            'inputs["../x"]' => $new->inputs(['../x' => Hash::of('')]),
            'inputs["a//b"]' => $new->inputs(['a//b' => Hash::of('')]),
            'inputs["dir/"]' => $new->inputs(['dir/' => Hash::of('not empty')]),
            'inputs["a/b"]' => $new->inputs(['a' => Hash::of('1'), 'a/b' => Hash::of('2')]),
            'inputs["x/é"]' => $new->inputs(['x/é' => Hash::of('1'), 'x' => Hash::of('2')]),
        ];
        foreach ($cases as $field => $builder) {
            $error = Check::fails('bad-manifest', fn () => self::build($builder), $field);
            Check::same($field, $error->details['field'], $error->getMessage());
        }
    }

    public function testLengthsCountCharacters(): void
    {
        self::build((new ManifestBuilder())->args(str_repeat('€', 32768)));
        $long = (new ManifestBuilder())->args(str_repeat('€', 32769));
        $error = Check::fails('bad-manifest', fn () => self::build($long));
        Check::matches('/must have at most 32768 characters/', $error->getMessage());
        self::build((new ManifestBuilder())->inputs([str_repeat('é', 255) => Hash::of('')]));
    }

    public function testCreateBindsModuleStdinAndInputs(): void
    {
        $job = Job::create('module', 'stdin', ['a.txt' => 'text', 'dir/' => '']);
        $manifest = json_decode($job->manifest->toJson());
        Check::same(Hash::of('module')->text, $manifest->module_hash);
        Check::same(Hash::of('stdin')->text, $manifest->stdin_hash);
        Check::same(['a.txt' => Hash::of('text')->text, 'dir/' => Hash::EMPTY], (array) $manifest->inputs);
        Check::same(false, isset(json_decode(Job::create('module')->manifest->toJson())->stdin_hash));
        Check::matches('/^[0-9a-f]{64}$/D', $job->nonce);
        Check::same(false, $job->nonce === Job::create('module')->nonce);
        Check::fails('usage', fn () => Job::create('module', nonce: 'AB'));
    }

    public function testFileContentHasTheBytesOfTheFile(): void
    {
        $file = Content::file(__FILE__);
        $bytes = (string) file_get_contents(__FILE__);
        Check::same([Hash::of($bytes)->text, strlen($bytes), $bytes], [$file->hash->text, $file->size, $file->text()]);
        Check::same($bytes, implode('', [...$file->body()]));
        Check::fails('bad-input', fn () => Content::file(__DIR__ . '/none'));
        Check::fails('bad-input', fn () => Content::file(__DIR__));
    }
}
