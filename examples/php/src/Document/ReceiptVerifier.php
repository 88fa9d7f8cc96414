<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\Absent;
use Plasm\Exception\BadReceiptException;
use Plasm\Expectations;
use Plasm\PlasmException;
use Plasm\Receipt;
use Plasm\Window;

/** Verifies a receipt against everything the verifier knows. */
final class ReceiptVerifier
{
    /**
     * Checks both signatures, the claim hash, and that the peer id matches the key: the receipt is unmodified, whichever
     * key signed it.
     *
     * @throws BadReceiptException
     */
    public static function checkSignature(Receipt $receipt): void
    {
        $peerId = $receipt->run->node->peerId;
        $key = $receipt->run->node->publicKey;
        if (!self::isSigned($receipt->signature, $receipt->signedBytes(), $key)) {
            throw self::error('signature', "signature is not by $key over this receipt");
        }
        self::compare('run.claim_hash', $receipt->run->claimHash, $receipt->claim->hash()->text, 'the claim hashes to');
        if (!self::isSigned($receipt->attestation, $receipt->attestedBytes(), $key)) {
            throw self::error('attestation', "attestation is not by $key over this claim");
        }
        $follows = PeerId::fromPublicKey($key);
        if ($peerId !== $follows) {
            throw self::error('run.node.peer_id', "run.node.peer_id is $peerId, its key belongs to $follows");
        }
    }

    /**
     * Checks a receipt against the expectations.
     *
     * @throws BadReceiptException
     */
    public static function check(Receipt $receipt, Expectations $expected): void
    {
        $run = $receipt->run;
        self::checkSignature($receipt);
        self::compare('run.node.public_key', $run->node->publicKey, $expected->key, 'expected');
        self::compare('run.node.peer_id', $run->node->peerId, $expected->peerId, 'expected');
        self::compare('run.job_id', $run->jobId, $expected->jobId, 'expected');
        self::compare('run.nonce', $run->nonce, $expected->nonce, 'sent');
        ClaimVerifier::check($receipt->claim, $expected);
        ReceiptTimes::check($run);
        if ($expected->window !== Absent::Value) {
            self::checkWindow('run.started_at', $run->startedAt, $expected->window);
            self::checkWindow('run.finished_at', $run->finishedAt, $expected->window);
        }
    }

    /** Throws unless the expectation is absent or equal. */
    public static function compare(string $field, ?string $claimed, string|Absent $wanted, string $source): void
    {
        if ($wanted !== Absent::Value && $claimed !== $wanted) {
            $found = $claimed ?? 'missing';
            throw self::error($field, "$field is $found, $source " . JsonPath::clip($wanted));
        }
    }

    /** Creates the error of an invalid field. */
    public static function error(string $field, string $why): PlasmException
    {
        return PlasmException::of('bad-receipt', "Cannot trust receipt: $why", details: ['field' => $field]);
    }

    private static function isSigned(string $signature, string $bytes, string $key): bool
    {
        // libsodium rejects keys of small order, non-canonical encodings and S out of range.
        return sodium_crypto_sign_verify_detached(sodium_hex2bin($signature), $bytes, sodium_hex2bin($key));
    }

    private static function checkWindow(string $field, string $text, Window $window): void
    {
        if (!$window->contains(ReceiptTimes::parse($field, $text))) {
            $from = ReceiptTimes::text($window->from);
            $to = ReceiptTimes::text($window->to);
            throw self::error($field, "$field is $text, the job ran between $from and $to");
        }
    }
}
