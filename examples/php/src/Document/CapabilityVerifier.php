<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\PlasmException;

/** Verifies that a capability document (format 0.1) binds a key to a node. */
final class CapabilityVerifier
{
    /** Domain separation of signatures. */
    private const DOMAIN = "plasm-capability-v0.1\n";

    /**
     * Checks the schema, the signature, and that the peer id matches both the key and the discovered node.
     *
     * @throws PlasmException `protocol`; `details.field` names the first invalid field
     */
    public static function check(mixed $document, string $peerId): void
    {
        Schema::named('capability')->check($document, 'protocol', 'Cannot trust capability');
        ['peer_id' => $claimed, 'public_key' => $key] = (array) $document->node;
        $follows = PeerId::fromPublicKey($key);
        if ($claimed !== $follows) {
            throw self::error('node.peer_id', "node.peer_id is $claimed, its key belongs to $follows");
        }
        if ($claimed !== $peerId) {
            throw self::error('node.peer_id', 'node.peer_id is ' . $claimed . ', found was ' . JsonPath::clip($peerId));
        }
        $unsigned = clone $document;
        unset($unsigned->signature);
        $isValid = sodium_crypto_sign_verify_detached(
            sodium_hex2bin($document->signature),
            self::DOMAIN . CanonicalJson::encode($unsigned),
            sodium_hex2bin($key),
        );
        if (!$isValid) {
            throw self::error('signature', "signature is not by $key over this document");
        }
    }

    private static function error(string $field, string $why): PlasmException
    {
        return PlasmException::of('protocol', "Cannot trust capability: $why", details: ['field' => $field]);
    }
}
