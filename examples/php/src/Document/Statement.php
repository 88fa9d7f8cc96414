<?php

declare(strict_types=1);

namespace Plasm\Document;

/** In-toto Statement v1 of a claim, and the bytes that a node signs to attest it (DSSE v1). */
final class Statement
{
    private const TYPE = 'https://in-toto.io/Statement/v1';
    private const PREDICATE_TYPE = 'urn:plasm:execution:v0.2';
    private const PAYLOAD_TYPE = 'application/vnd.in-toto+json';

    /** Canonical JSON of the statement: the payload of a DSSE envelope. */
    public static function encode(\stdClass $claim): string
    {
        $subject = [self::subject('stdout', $claim->stdout->hash), self::subject('stderr', $claim->stderr->hash)];
        foreach (CanonicalJson::names($claim->outputs) as $path) {
            $subject[] = self::subject($path, $claim->outputs->{$path}->hash);
        }
        return CanonicalJson::encode((object) [
            '_type' => self::TYPE,
            'predicate' => $claim,
            'predicateType' => self::PREDICATE_TYPE,
            'subject' => $subject,
        ]);
    }

    /** Bytes covered by the attestation of a claim: DSSE's pre-authentication encoding of the statement. */
    public static function attestedBytes(\stdClass $claim): string
    {
        $payload = self::encode($claim);
        return sprintf('DSSEv1 %d %s %d ', strlen(self::PAYLOAD_TYPE), self::PAYLOAD_TYPE, strlen($payload)) . $payload;
    }

    private static function subject(string $name, string $hash): \stdClass
    {
        return (object) ['digest' => (object) ['sha256' => substr($hash, strlen('sha256:'))], 'name' => $name];
    }
}
