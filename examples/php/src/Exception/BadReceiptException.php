<?php

declare(strict_types=1);

namespace Plasm\Exception;

/** The receipt does not prove what it should: trust nothing of the result. */
final class BadReceiptException extends NodeException
{
    /** Path of the first field that is wrong, such as `node.peer_id`; null when it is no document at all. */
    public function field(): ?string
    {
        $field = $this->details['field'] ?? null;
        return is_string($field) ? $field : null;
    }
}
