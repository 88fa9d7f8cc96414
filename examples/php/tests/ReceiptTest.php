<?php

declare(strict_types=1);

namespace Plasm\Tests;

use Plasm\Absent;
use Plasm\Exception\BadReceiptException;
use Plasm\Expectations;
use Plasm\Hash;
use Plasm\Manifest;
use Plasm\Measured;
use Plasm\Outcome;
use Plasm\PlasmException;
use Plasm\Receipt;
use Plasm\Window;

final class ReceiptTest
{
    private \stdClass $vectors;
    private string $json;
    private string $key;

    public function __construct()
    {
        $this->vectors = Vectors::read('receipt');
        $this->json = json_encode($this->vectors->receipt, JSON_THROW_ON_ERROR);
        $this->key = $this->vectors->public_key;
    }

    public function testReadsEachField(): void
    {
        $receipt = Receipt::parse($this->json);
        Check::same('job_abcdefghijklmnopqrstuvwxyz', $receipt->jobId);
        Check::same(Outcome::Exited, $receipt->status);
        Check::same([12, 0, 0], [$receipt->stdout->bytes, $receipt->stderr->bytes, $receipt->exitCode]);
        Check::same([1500, 1200, 131072], array_values((array) $receipt->usage));
        Check::same(['plasm', '0.1.0', 'V8 14.0.365.4', 'x86_64'], array_values((array) $receipt->runtime));
        Check::same($this->vectors->peer_id, $receipt->node->peerId);
        Check::same($receipt->signedBytes(), Receipt::parse($receipt->toJson())->signedBytes());
    }

    public function testSignedBytesAndManifestHashAreThePublishedOnes(): void
    {
        Check::same($this->vectors->signed_bytes, bin2hex(Receipt::parse($this->json)->signedBytes()));
        $manifest = Manifest::parse(json_encode($this->vectors->expected->manifest, JSON_THROW_ON_ERROR));
        Check::same($this->vectors->manifest_canonical, $manifest->toJson());
        Check::same($this->vectors->manifest_hash, $manifest->hash()->text);
    }

    public function testVerifiesThePublishedReceipts(): void
    {
        Receipt::parse($this->json)->verify(Vectors::expectations($this->vectors->expected));
        foreach ($this->vectors->accepted as $vector) {
            $receipt = Receipt::parse($vector->json)->verifyUnpinned();
            $expected = (array) $vector->expected + ['key' => $this->key];
            Check::same($receipt, $receipt->verify(Vectors::expectations((object) $expected)), $vector->name);
        }
        Check::same(4, count($this->vectors->accepted));
    }

    public function testRefusesEveryPublishedMutationAndNamesItsField(): void
    {
        foreach ($this->vectors->refused as $vector) {
            $expected = (object) [...(array) $this->vectors->expected, ...(array) ($vector->expected ?? [])];
            $verify = static fn (): Receipt => Receipt::parse($vector->json)->verify(Vectors::expectations($expected));
            $error = Check::refused('bad-receipt', $verify, $vector->name);
            Check::same(BadReceiptException::class, $error::class);
            if ($vector->field !== '') {
                Check::same($vector->field, $error->details['field'] ?? null, $vector->name);
            }
        }
        Check::same(true, count($this->vectors->refused) > 100);
    }

    public function testVerifyUnpinnedRefusesWhatIsNotInOnePiece(): void
    {
        $isOneOfOurs = static fn (\stdClass $vector): bool => in_array(
            preg_replace('/^signed lie: /', '', $vector->name),
            ['job_id', 'nonce', 'manifest_hash', 'module_hash', 'stdin_hash', 'stdout_hash', 'stdout_bytes',
                'stderr_hash', 'stderr_bytes', 'node.public_key', 'another node, known by its peer id only'],
            true,
        );
        $refused = 0;
        foreach ($this->vectors->refused as $vector) {
            if (!$isOneOfOurs($vector)) {
                Check::refused('bad-receipt', fn () => Receipt::parse($vector->json)->verifyUnpinned(), $vector->name);
                $refused++;
            }
        }
        Check::same(count($this->vectors->refused) - 11, $refused);
    }

    public function testRefusesWhatDiffersFromEachExpectation(): void
    {
        $other = Manifest::parse(str_replace('"normal"', '"low"', $this->vectors->manifest_canonical));
        $cases = [
            ['node.public_key', ['key' => str_repeat('0', 64)]],
            ['node.public_key', ['key' => '']],
            ['node.peer_id', ['peerId' => '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp']],
            ['job_id', ['jobId' => 'job_zzzzzzzzzzzzzzzzzzzzzzzzzz']],
            ['nonce', ['nonce' => '']],
            ['manifest_hash', ['manifest' => $other]],
            ['module_hash', ['module' => 'another module']],
            ['module_hash', ['module' => Hash::of('another module')]],
            ['stdin_hash', ['stdin' => '']],
            ['stdout_hash', ['stdout' => 'dlroW ,olle']],
            ['stdout_bytes', ['stdout' => new Measured(Hash::of('dlroW ,olleH'), 11)]],
            ['stderr_hash', ['stderr' => "\0"]],
            ['started_at', ['window' => new Window(1767323045679 + 300_000, PHP_INT_MAX - 300_000)]],
            ['finished_at', ['window' => new Window(0, 1767323047177 - 300_000)]],
        ];
        foreach ($cases as [$field, $given]) {
            $expected = new Expectations(...['key' => $this->key, ...$given]);
            $error = Check::refused('bad-receipt', fn () => Receipt::parse($this->json)->verify($expected), $field);
            Check::same($field, $error->details['field']);
        }
    }

    public function testAcceptsTimesWithinTheTolerance(): void
    {
        // started_at is 2026-01-02T03:04:05.678Z, finished_at 1.5 s later.
        $wide = new Window(1767323045678 + 300_000, 1767323047178 - 300_000);
        Receipt::parse($this->json)->verify(new Expectations(key: $this->key, window: $wide));
        $narrow = new Expectations(key: $this->key, window: new Window(1767323045678, 1767323047177, 0));
        Check::refused('bad-receipt', fn () => Receipt::parse($this->json)->verify($narrow));
    }

    public function testFailsClosedWithoutAPin(): void
    {
        Check::refused('usage', fn () => new Expectations(nonce: str_repeat('0', 64)));
        Check::throws(\TypeError::class, fn () => new Expectations(key: null));
        Check::throws(\TypeError::class, fn () => new Expectations(key: $this->key, nonce: null));
        Check::throws(\Error::class, fn () => new Expectations(key: $this->key, nonse: ''));
        Check::same(Absent::Value, (new Expectations(key: $this->key))->nonce);
    }

    public function testRefusesSmallOrderAndNonCanonicalKeysAndSignatures(): void
    {
        // The points of small order and the encodings that are not canonical (RFC 8032, 5.1.3).
        $keys = ['01' . str_repeat('00', 31), str_repeat('00', 32), '00' . str_repeat('00', 30) . '80',
            'ec' . str_repeat('ff', 30) . '7f', 'ee' . str_repeat('ff', 30) . '7f', 'ed' . str_repeat('ff', 30) . '7f',
            '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
            'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a'];
        foreach ($keys as $key) {
            foreach ([str_repeat('00', 32), '01' . str_repeat('00', 31), $key] as $point) {
                $json = strtr($this->json, [
                    $this->key => $key,
                    $this->vectors->signature => $point . str_repeat('00', 32),
                ]);
                $error = Check::refused('bad-receipt', fn () => Receipt::parse($json)->verifyUnpinned(), $key);
                Check::same('signature', $error->details['field']);
            }
        }
        // S + L: the same equation, another signature.
        $order = 'edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010';
        $scalar = $this->sum(substr($this->vectors->signature, 64), $order);
        $json = str_replace(substr($this->vectors->signature, 64), $scalar, $this->json);
        $error = Check::refused('bad-receipt', fn () => Receipt::parse($json)->verifyUnpinned());
        Check::same('signature', $error->details['field']);
    }

    public function testErrorsNeverPrintControlCharacters(): void
    {
        $json = str_replace('"0.1"', '"\u001b[2J' . "\u{202e}\u{7f}\u{9b}" . str_repeat('x', 500) . '"', $this->json);
        $error = Check::refused('bad-receipt', fn () => Receipt::parse($json));
        Check::same(0, preg_match('/[\x00-\x1f\x7f-\x9f\x{202e}]/u', $error->getMessage()));
        Check::same(true, strlen($error->getMessage()) < 300);
    }

    public function testVerifiesAfterTheCallerChangesItsCopies(): void
    {
        $receipt = Receipt::parse($this->json);
        Check::throws(\Error::class, function () use ($receipt): void {
            $receipt->jobId = 'job_zzzzzzzzzzzzzzzzzzzzzzzzzz';
        });
        $receipt->verify(new Expectations(key: $this->key));
    }

    /** Sum of two little-endian numbers in hex. */
    private function sum(string $a, string $b): string
    {
        $bytes = '';
        $carry = 0;
        foreach (array_map(null, str_split($a, 2), str_split($b, 2)) as [$x, $y]) {
            $carry += hexdec($x) + hexdec($y);
            $bytes .= chr($carry & 255);
            $carry >>= 8;
        }
        return bin2hex($bytes);
    }
}
