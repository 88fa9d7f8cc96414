<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\PlasmException;

/** A capability document, format 0.1, as far as it binds a key to a node. */
final class CapabilityVerifier
{
    /** Keeps a signature under a capability from being one under anything else. */
    private const DOMAIN = "plasm-capability-v0.1\n";

    /**
     * Checks form, that the peer id follows from the key and is the one that was found, and the signature.
     *
     * @throws PlasmException `protocol`; `details.field` names the first field that is wrong
     */
    public static function check(mixed $document, string $peerId): void
    {
        Schema::named('capability')->check($document, 'protocol', 'Cannot trust capability');
        ['peer_id' => $told, 'public_key' => $key] = (array) $document->node;
        $follows = PeerId::fromPublicKey($key);
        if ($told !== $follows) {
            throw self::refusal('node.peer_id', "node.peer_id is $told, its key belongs to $follows");
        }
        if ($told !== $peerId) {
            throw self::refusal('node.peer_id', 'node.peer_id is ' . $told . ', found was ' . JsonPath::clip($peerId));
        }
        $unsigned = clone $document;
        unset($unsigned->signature);
        $isValid = sodium_crypto_sign_verify_detached(
            sodium_hex2bin($document->signature),
            self::DOMAIN . CanonicalJson::encode($unsigned),
            sodium_hex2bin($key),
        );
        if (!$isValid) {
            throw self::refusal('signature', "signature is not by $key over this document");
        }
    }

    private static function refusal(string $field, string $why): PlasmException
    {
        return PlasmException::of('protocol', "Cannot trust capability: $why", details: ['field' => $field]);
    }
}
