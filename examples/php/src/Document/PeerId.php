<?php

declare(strict_types=1);

namespace Plasm\Document;

/** The libp2p peer id of an Ed25519 key. */
final class PeerId
{
    // libp2p's peer-ids spec: the identity multihash (0x00, length 0x24) of the protobuf PublicKey
    // { Type: Ed25519 (08 01), Data: 32 bytes (12 20) }.
    private const PREFIX = "\x00\x24\x08\x01\x12\x20";

    private const BASE58BTC = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

    /**
     * The peer id, `12D3KooW…`, that follows from a public key.
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
        // A leading zero byte has no place in the number: base58 writes it as its zero digit.
        $text = str_repeat(self::BASE58BTC[0], strspn($bytes, "\0"));
        foreach (array_reverse($digits) as $digit) {
            $text .= self::BASE58BTC[$digit];
        }
        return $text;
    }
}
