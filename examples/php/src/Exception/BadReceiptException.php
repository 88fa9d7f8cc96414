<?php

declare(strict_types=1);

namespace Plasm\Exception;

/** The receipt failed verification: do not trust the result. */
final class BadReceiptException extends NodeException
{
    /** Path of the first invalid field, such as `node.peer_id`; null if the document is malformed. */
    public function field(): ?string
    {
        $field = $this->details['field'] ?? null;
        return is_string($field) ? $field : null;
    }
}
