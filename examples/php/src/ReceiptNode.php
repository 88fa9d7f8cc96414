<?php

declare(strict_types=1);

namespace Plasm;

/** Signer of a receipt. */
final class ReceiptNode
{
    /**
     * @param string $peerId    libp2p peer id; derived from the key
     * @param string $publicKey Ed25519 public key, 64 lowercase hex digits
     */
    public function __construct(public readonly string $peerId, public readonly string $publicKey)
    {
    }
}
