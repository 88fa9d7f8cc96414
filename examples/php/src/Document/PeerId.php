<?php

declare(strict_types=1);

namespace Plasm\Document;

/** Derives the libp2p peer id of an Ed25519 key. */
final class PeerId
{
    // libp2p peer-ids spec: the identity multihash (0x00, length 0x24) of the protobuf PublicKey { Type: Ed25519 (08
    // 01), Data: 32 bytes (12 20) }.
    private const PREFIX = "\x00\x24\x08\x01\x12\x20";

    private const BASE58BTC = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

    /**
     * Returns the peer id, `12D3KooW…`, of a public key.
     *
     * @param string $publicKey 64 lowercase hex digits
     */
    public static function fromPublicKey(string $publicKey): string
    {
        return self::base58(self::PREFIX . sodium_hex2bin($publicKey));
    }

    private static function base58(string $bytes): string
    {
        $digits = []; // least significant first
        foreach (unpack('C*', $bytes) ?: [] as $carry) {
            foreach ($digits as $place => $digit) {
                $carry += $digit << 8;
                $digits[$place] = $carry % 58;
                $carry = intdiv($carry, 58);
            }
            for (; $carry > 0; $carry = intdiv($carry, 58)) {
                $digits[] = $carry % 58;
            }
        }
        // base58 encodes a leading zero byte, which does not affect the number, as its zero digit.
        $text = str_repeat(self::BASE58BTC[0], strspn($bytes, "\0"));
        foreach (array_reverse($digits) as $digit) {
            $text .= self::BASE58BTC[$digit];
        }
        return $text;
    }
}
