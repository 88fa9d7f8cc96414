<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Document\CanonicalJson;
use Plasm\Document\ClaimRules;
use Plasm\Document\Json;
use Plasm\Document\ReceiptTimes;
use Plasm\Document\ReceiptVerifier;
use Plasm\Document\Schema;
use Plasm\Document\Statement;

/**
 * Receipt, format 0.2: a node's signed statement of a job and its result. Well-formed, but untrusted until {@see
 * Receipt::verify()} has returned.
 */
final class Receipt
{
    /** Maximum size of a receipt as JSON, in bytes: fits ten thousand outputs with long paths. */
    public const MAX_BYTES = 8388608;

    /** Maximum number of receipts of one job. */
    public const MAX_LIST = 16;

    /** Domain separation of signatures. */
    private const DOMAIN = "plasm-receipt-v0.2\n";

    /**
     * @param Claim  $claim       what was run and what came out: equal on every honest node
     * @param Run    $run         what only the node that ran the job knows
     * @param string $signature   128 lowercase hex digits, over the receipt
     * @param string $attestation 128 lowercase hex digits, over the in-toto statement of the claim
     */
    private function __construct(
        private readonly \stdClass $document,
        public readonly Claim $claim,
        public readonly Run $run,
        public readonly string $signature,
        public readonly string $attestation,
    ) {
    }

    /**
     * Parses a receipt from JSON.
     *
     * @throws PlasmException `bad-receipt` if it is not JSON, exceeds {@see Receipt::MAX_BYTES}, violates the
     * schema or contradicts itself; `details.field` names the first invalid field
     */
    public static function parse(string $json): self
    {
        return self::of(Json::parse($json, self::MAX_BYTES, 'bad-receipt', 'receipt'));
    }

    /**
     * Parses a list of receipts from JSON.
     *
     * @return list<self>
     *
     * @throws PlasmException `bad-receipt`, as {@see Receipt::parse()}
     */
    public static function parseList(string $json): array
    {
        $list = Json::parse($json, self::MAX_LIST * self::MAX_BYTES, 'bad-receipt', 'receipts');
        if (!is_array($list) || count($list) > self::MAX_LIST) {
            throw PlasmException::of('bad-receipt', 'Cannot read receipts: not a list of at most ' . self::MAX_LIST);
        }
        return array_map(self::of(...), array_values($list));
    }

    private static function of(mixed $it): self
    {
        Schema::named('receipt')->check($it, 'bad-receipt', 'Cannot trust receipt');
        ClaimRules::check($it->claim);
        return new self($it, new Claim($it->claim), new Run($it->run), $it->signature, $it->attestation);
    }

    /**
     * Verifies the receipt against the expectations and returns it. Checks, in this order: signature, claim hash,
     * attestation, peer id against key, the pinned node, job id, nonce, manifest, module, standard input,
     * hash and length of the received output and files, and times.
     *
     * @throws PlasmException `bad-receipt`; `details.field` names the first invalid field
     */
    public function verify(Expectations $expected): self
    {
        ReceiptVerifier::check($this, $expected);
        return $this;
    }

    /**
     * Checks only that the receipt is unmodified: signatures, claim hash, peer id and times. Does not check which node
     * signed it, nor for which job.
     *
     * @throws PlasmException `bad-receipt`, as {@see Receipt::verify()}
     */
    public function verifyUnpinned(): self
    {
        ReceiptVerifier::checkSignature($this);
        ReceiptTimes::check($this->run);
        return $this;
    }

    /** Bytes covered by the signature. */
    public function signedBytes(): string
    {
        $unsigned = clone $this->document;
        unset($unsigned->signature, $unsigned->attestation);
        return self::DOMAIN . CanonicalJson::encode($unsigned);
    }

    /** Bytes covered by the attestation. */
    public function attestedBytes(): string
    {
        return Statement::attestedBytes($this->document->claim);
    }

    /** Receipt as canonical JSON, for storage. */
    public function toJson(): string
    {
        return CanonicalJson::encode($this->document);
    }
}
