<?php

declare(strict_types=1);

namespace Plasm\Tests\Daemon;

use Plasm\Client;
use Plasm\Content;
use Plasm\Job;
use Plasm\ManifestBuilder;
use Plasm\Tests\Check;

/** Tests output files with a real daemon; PLASM_TEST_MODULE writes big (320 KiB), ä/1 and left. */
final class OutputFilesTest
{
    public function testReturnsAndSavesTheFilesOfAJob(): void
    {
        $client = new Client();
        $outputs = (new ManifestBuilder())->outputs('ä/', 'big', '/absent');
        $job = Job::create(Content::file((string) getenv('PLASM_TEST_MODULE')), manifest: $outputs);
        $result = $client->result($client->submit($job)->id);
        Check::fails('usage', $result->outputs(...));
        $result->verify($job, $client->node()->publicKey);
        $outputs = $result->outputs();
        $big = str_repeat('0123456789abcdef', 20 * 1024);
        Check::same(['big' => $big, 'ä/1' => 'one'], $outputs->contents());
        Check::same('one', $outputs->content('ä/1'));
        Check::same(['/absent'], $outputs->missing);
        Check::same([['left', 2, 'file']], array_map(array_values(...), array_map(get_object_vars(...), $result->job->leftBehind)));
        $dir = sys_get_temp_dir() . '/plasm-php-' . bin2hex(random_bytes(4));
        try {
            Check::same(["$dir/big", "$dir/ä/1"], $outputs->save($dir));
            Check::same([$big, 'one'], [file_get_contents("$dir/big"), file_get_contents("$dir/ä/1")]);
            $outputs->saveFile('big', "$dir/copy");
            Check::same($big, file_get_contents("$dir/copy"));
            Check::fails('conflict', fn () => $outputs->saveFile('big', "$dir/copy"));
        } finally {
            exec('rm -rf ' . escapeshellarg($dir));
        }
    }
}
