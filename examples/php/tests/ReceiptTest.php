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
use Plasm\Profile;
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

    public function testParsesListOfReceipts(): void
    {
        $receipts = Receipt::parseList("[$this->json, $this->json]");
        Check::same(2, count($receipts));
        Check::same($this->vectors->claim_hash, $receipts[1]->run->claimHash);
        foreach (['{}', '[{}]', "[$this->json"] as $wrong) {
            Check::fails('bad-receipt', fn () => Receipt::parseList($wrong), $wrong);
        }
    }

    public function testReadsEachField(): void
    {
        $receipt = Receipt::parse($this->json);
        Check::same('job_abcdefghijklmnopqrstuvwxyz', $receipt->run->jobId);
        Check::same(Outcome::Exited, $receipt->claim->status);
        $claim = $receipt->claim;
        Check::same([12, 0, 0], [$claim->stdout->bytes, $claim->stderr->bytes, $claim->exitCode]);
        Check::same([123456, Profile::Default, ['clock', 'random']], [$claim->fuel, $claim->profile, $claim->nondeterminism]);
        Check::same([2, 3, 0], [$claim->outputs['out/größe 😀.txt']->bytes, $claim->outputs['10']->bytes, $claim->outputs['9']->bytes]);
        Check::same($this->vectors->claim_hash, $receipt->run->claimHash);
        Check::same([1500, 1200, 131072], array_values((array) $receipt->run->usage));
        Check::same(['plasm', '0.1.0', 'V8 14.0.365.4', 'x86_64'], array_values((array) $receipt->run->runtime));
        Check::same($this->vectors->peer_id, $receipt->run->node->peerId);
        Check::same($receipt->signedBytes(), Receipt::parse($receipt->toJson())->signedBytes());
    }

    public function testSignedBytesAndManifestHashMatchThePublishedVectors(): void
    {
        Check::same($this->vectors->signed_bytes, bin2hex(Receipt::parse($this->json)->signedBytes()));
        Check::same($this->vectors->attested_bytes, bin2hex(Receipt::parse($this->json)->attestedBytes()));
        Check::same($this->vectors->claim_canonical, Receipt::parse($this->json)->claim->toJson());
        Check::same($this->vectors->claim_hash, Receipt::parse($this->json)->claim->hash()->text);
        $manifest = Manifest::parse(json_encode($this->vectors->expected->manifest, JSON_THROW_ON_ERROR));
        Check::same($this->vectors->manifest_canonical, $manifest->toJson());
        Check::same($this->vectors->manifest_hash, $manifest->hash()->text);
    }

    public function testNamesTheVersionOfAnotherFormat(): void
    {
        foreach (['{"version":"0.1","job_id":"job_x"}', '{"version":"0.1","claim":{"proof":1}}'] as $json) {
            $error = Check::fails('bad-receipt', static fn () => Receipt::parse($json));
            Check::same('Cannot trust receipt: version must be "0.2", found "0.1"', $error->getMessage());
        }
    }

    public function testVerifiesThePublishedReceipts(): void
    {
        Receipt::parse($this->json)->verify(Vectors::expectations($this->vectors->expected));
        foreach ($this->vectors->accepted as $vector) {
            $receipt = Receipt::parse($vector->json)->verifyUnpinned();
            $expected = (array) $vector->expected + ['key' => $this->key];
            Check::same($receipt, $receipt->verify(Vectors::expectations((object) $expected)), $vector->name);
        }
        Check::same(12, count($this->vectors->accepted));
    }

    public function testVerifyRejectsEveryPublishedMutationAndReportsItsField(): void
    {
        foreach ($this->vectors->refused as $vector) {
            $expected = (object) [...(array) $this->vectors->expected, ...(array) ($vector->expected ?? [])];
            $verify = static fn (): Receipt => Receipt::parse($vector->json)->verify(Vectors::expectations($expected));
            $error = Check::fails('bad-receipt', $verify, $vector->name);
            Check::same(BadReceiptException::class, $error::class);
            if ($vector->field !== '') {
                Check::same($vector->field, $error->details['field'] ?? null, $vector->name);
            }
        }
        Check::same(true, count($this->vectors->refused) > 100);
    }

    public function testVerifyUnpinnedRejectsModifiedReceipts(): void
    {
        $isUnpinnedFailure = static fn (\stdClass $vector): bool => in_array(
            preg_replace('/^false field: /', '', $vector->name),
            ['run.job_id', 'run.nonce', 'claim.manifest_hash', 'claim.module_hash', 'claim.stdin_hash',
                'claim.stdout.hash', 'claim.stdout.bytes', 'claim.stderr.hash', 'claim.stderr.bytes',
                'claim.outputs["10"].hash', 'claim.outputs["9"].bytes', 'claim.outputs["9"]', 'claim.profile', 'claim.fuel',
                'a file that was not received', 'a file that the manifest does not name',
                'no fuel, although the job exited', 'run.node.public_key',
                'another node, identified only by its peer id'],
            true,
        );
        $refused = 0;
        foreach ($this->vectors->refused as $vector) {
            if (!$isUnpinnedFailure($vector)) {
                Check::fails('bad-receipt', fn () => Receipt::parse($vector->json)->verifyUnpinned(), $vector->name);
                $refused++;
            }
        }
        Check::same(count($this->vectors->refused) - 19, $refused);
    }

    public function testVerifyRejectsEachUnmetExpectation(): void
    {
        $other = Manifest::parse(str_replace('"normal"', '"low"', $this->vectors->manifest_canonical));
        $cases = [
            ['run.node.public_key', ['key' => str_repeat('0', 64)]],
            ['run.node.public_key', ['key' => '']],
            ['run.node.peer_id', ['peerId' => '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp']],
            ['run.job_id', ['jobId' => 'job_zzzzzzzzzzzzzzzzzzzzzzzzzz']],
            ['run.nonce', ['nonce' => '']],
            ['claim.manifest_hash', ['manifest' => $other]],
            ['claim.module_hash', ['module' => 'another module']],
            ['claim.module_hash', ['module' => Hash::of('another module')]],
            ['claim.stdin_hash', ['stdin' => '']],
            ['claim.stdout.hash', ['stdout' => 'dlroW ,olle']],
            ['claim.stdout.bytes', ['stdout' => new Measured(Hash::of('dlroW ,olleH'), 11)]],
            ['claim.stderr.hash', ['stderr' => "\0"]],
            ['claim.outputs["10"]', ['outputs' => []]],
            ['claim.outputs.more', ['outputs' => ['10' => 'ten', '9' => '', 'more' => '']]],
            ['run.started_at', ['window' => new Window(1767323045679 + 300_000, PHP_INT_MAX - 300_000)]],
            ['run.finished_at', ['window' => new Window(0, 1767323047177 - 300_000)]],
        ];
        foreach ($cases as [$field, $fields]) {
            $expected = new Expectations(...['key' => $this->key, ...$fields]);
            $error = Check::fails('bad-receipt', fn () => Receipt::parse($this->json)->verify($expected), $field);
            Check::same($field, $error->details['field']);
        }
    }

    public function testAcceptsTimesWithinTheTolerance(): void
    {
        // started_at is 2026-01-02T03:04:05.678Z, finished_at 1.5 s later.
        $wide = new Window(1767323045678 + 300_000, 1767323047178 - 300_000);
        Receipt::parse($this->json)->verify(new Expectations(key: $this->key, window: $wide));
        $narrow = new Expectations(key: $this->key, window: new Window(1767323045678, 1767323047177, 0));
        Check::fails('bad-receipt', fn () => Receipt::parse($this->json)->verify($narrow));
    }

    public function testVerifyFailsClosedWithoutAPin(): void
    {
        Check::fails('usage', fn () => new Expectations(nonce: str_repeat('0', 64)));
        Check::throws(\TypeError::class, fn () => new Expectations(key: null));
        Check::throws(\TypeError::class, fn () => new Expectations(key: $this->key, nonce: null));
        Check::throws(\Error::class, fn () => new Expectations(key: $this->key, nonse: ''));
        Check::same(Absent::Value, (new Expectations(key: $this->key))->nonce);
    }

    public function testVerifyRejectsSmallOrderAndNonCanonicalKeysAndSignatures(): void
    {
        // The points of small order and non-canonical encodings (RFC 8032, 5.1.3).
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
                $error = Check::fails('bad-receipt', fn () => Receipt::parse($json)->verifyUnpinned(), $key);
                Check::same('signature', $error->details['field']);
            }
        }
        // S + L satisfies the same equation with a different signature.
        $order = 'edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010';
        $scalar = $this->sum(substr($this->vectors->signature, 64), $order);
        $json = str_replace(substr($this->vectors->signature, 64), $scalar, $this->json);
        $error = Check::fails('bad-receipt', fn () => Receipt::parse($json)->verifyUnpinned());
        Check::same('signature', $error->details['field']);
    }

    public function testSodiumAcceptsOfThePublishedEd25519VectorsWhatTypeScriptAccepts(): void
    {
        $accepts = static fn (string $signature, string $message, string $key): bool => strlen($signature) === 128
            && sodium_crypto_sign_verify_detached(hex2bin($signature), hex2bin($message), hex2bin($key));
        foreach (Vectors::read('ed25519/wycheproof')->testGroups as $group) {
            foreach ($group->tests as $test) {
                $isValid = $accepts($test->sig, $test->msg, $group->publicKey->pk);
                Check::same($test->result === 'valid', $isValid, "$test->tcId: $test->comment");
            }
        }
        $accepted = [];
        foreach (Vectors::read('ed25519/speccheck') as $at => $case) {
            if ($accepts($case->signature, $case->message, $case->pub_key)) {
                $accepted[] = $at;
            }
        }
        Check::same([3], $accepted);
    }

    public function testErrorsNeverPrintControlCharacters(): void
    {
        $json = str_replace('"0.2"', '"\u001b[2J' . "\u{202e}\u{7f}\u{9b}" . str_repeat('x', 500) . '"', $this->json);
        $error = Check::fails('bad-receipt', fn () => Receipt::parse($json));
        Check::same(0, preg_match('/[\x00-\x1f\x7f-\x9f\x{202e}]/u', $error->getMessage()));
        Check::same(true, strlen($error->getMessage()) < 300);
    }

    public function testVerifiesAfterTheCallerChangesItsCopies(): void
    {
        $receipt = Receipt::parse($this->json);
        Check::throws(\Error::class, function () use ($receipt): void {
            $receipt->run->jobId = 'job_zzzzzzzzzzzzzzzzzzzzzzzzzz';
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
