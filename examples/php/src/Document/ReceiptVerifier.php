<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\Absent;
use Plasm\Exception\BadReceiptException;
use Plasm\Expectations;
use Plasm\Hash;
use Plasm\Measured;
use Plasm\PlasmException;
use Plasm\Receipt;
use Plasm\Window;

/** What a receipt proves: everything that the verifier knows is checked, and any difference refused. */
final class ReceiptVerifier
{
    /**
     * Checks the signature, and that the peer id follows from the key: the receipt is intact, whatever key signed it.
     *
     * @throws BadReceiptException
     */
    public static function checkSignature(Receipt $receipt): void
    {
        $peerId = $receipt->node->peerId;
        $key = $receipt->node->publicKey;
        // libsodium refuses keys of small order, forms that are not canonical and S out of range.
        $isValid = sodium_crypto_sign_verify_detached(
            sodium_hex2bin($receipt->signature),
            $receipt->signedBytes(),
            sodium_hex2bin($key),
        );
        if (!$isValid) {
            throw self::refusal('signature', "signature is not by $key over this receipt");
        }
        $follows = PeerId::fromPublicKey($key);
        if ($peerId !== $follows) {
            throw self::refusal('node.peer_id', "node.peer_id is $peerId, its key belongs to $follows");
        }
    }

    /**
     * Checks a receipt against what is known.
     *
     * @throws BadReceiptException
     */
    public static function check(Receipt $receipt, Expectations $expected): void
    {
        self::checkSignature($receipt);
        self::compare('node.public_key', $receipt->node->publicKey, $expected->key, 'expected');
        self::compare('node.peer_id', $receipt->node->peerId, $expected->peerId, 'expected');
        self::compare('job_id', $receipt->jobId, $expected->jobId, 'expected');
        self::compare('nonce', $receipt->nonce, $expected->nonce, 'sent');
        self::checkSent($receipt, $expected);
        self::checkOutput('stdout', $receipt->stdout, $expected->stdout);
        self::checkOutput('stderr', $receipt->stderr, $expected->stderr);
        ReceiptTimes::check($receipt);
        if ($expected->window !== Absent::Value) {
            self::checkWindow('started_at', $receipt->startedAt, $expected->window);
            self::checkWindow('finished_at', $receipt->finishedAt, $expected->window);
        }
    }

    /** The error of a field that is wrong. */
    public static function refusal(string $field, string $why): PlasmException
    {
        return PlasmException::of('bad-receipt', "Cannot trust receipt: $why", details: ['field' => $field]);
    }

    private static function checkSent(Receipt $receipt, Expectations $expected): void
    {
        $manifest = $expected->manifest;
        if ($manifest !== Absent::Value) {
            self::compare('manifest_hash', $receipt->manifestHash, $manifest->hash()->text, 'the manifest');
            self::compare('module_hash', $receipt->moduleHash, $manifest->moduleHash, 'the manifest names');
            $stdin = $manifest->stdinHash ?? Absent::Value;
            self::compare('stdin_hash', $receipt->stdinHash, $stdin, 'the manifest names');
        }
        self::compare('module_hash', $receipt->moduleHash, self::hashOf($expected->module), 'the module sent is');
        self::compare('stdin_hash', $receipt->stdinHash, self::hashOf($expected->stdin), 'the stdin sent is');
    }

    private static function hashOf(string|Hash|Absent $content): string|Absent
    {
        return match (true) {
            $content instanceof Absent => $content,
            $content instanceof Hash => $content->text,
            default => Hash::of($content)->text,
        };
    }

    private static function checkOutput(string $name, Measured $told, string|Measured|Absent $received): void
    {
        if ($received instanceof Absent) {
            return;
        }
        $received = is_string($received) ? Measured::of($received) : $received;
        if ($told->hash->text !== $received->hash->text) {
            $why = "{$name}_hash is {$told->hash}, received bytes hash to {$received->hash}";
            throw self::refusal("{$name}_hash", $why);
        }
        if ($told->bytes !== $received->bytes) {
            throw self::refusal("{$name}_bytes", "{$name}_bytes is $told->bytes, received were $received->bytes");
        }
    }

    private static function checkWindow(string $field, string $text, Window $window): void
    {
        if (!$window->contains(ReceiptTimes::parse($field, $text))) {
            $from = ReceiptTimes::text($window->from);
            $to = ReceiptTimes::text($window->to);
            throw self::refusal($field, "$field is $text, the job ran between $from and $to");
        }
    }

    private static function compare(string $field, string $told, string|Absent $wanted, string $source): void
    {
        if ($wanted !== Absent::Value && $told !== $wanted) {
            throw self::refusal($field, "$field is $told, $source " . JsonPath::clip($wanted));
        }
    }
}
