<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Exception\ErrorCode;

/**
 * Error with a stable code, a message that states the requested and the allowed value, and a hint. The daemon's own
 * errors are passed through; the class identifies whose fault it is.
 */
class PlasmException extends \RuntimeException
{
    /** Whether the same call may succeed later. */
    public readonly bool $retryable;

    /**
     * Use {@see PlasmException::of()}, which selects the class for the code.
     *
     * @param string               $errorCode    stable, kebab-case; see {@see ErrorCode}
     * @param string|null          $hint         suggested next step
     * @param bool|null            $retryable    null: the code's default
     * @param int|null             $retryAfterMs recommended delay before a retry, in milliseconds
     * @param array<string, mixed> $details      figures of the message, machine-readable
     */
    final public function __construct(
        public readonly string $errorCode,
        string $message,
        public readonly ?string $hint = null,
        ?bool $retryable = null,
        public readonly ?int $retryAfterMs = null,
        public readonly array $details = [],
        ?\Throwable $previous = null,
    ) {
        parent::__construct($message, 0, $previous);
        $this->retryable = $retryable ?? ErrorCode::isRetryable($errorCode);
    }

    /**
     * Creates the exception of the class for the code.
     *
     * @param array<string, mixed> $details
     */
    public static function of(
        string $errorCode,
        string $message,
        ?string $hint = null,
        ?bool $retryable = null,
        ?int $retryAfterMs = null,
        array $details = [],
        ?\Throwable $previous = null,
    ): self {
        $class = ErrorCode::classOf($errorCode);
        return new $class($errorCode, $message, $hint, $retryable, $retryAfterMs, $details, $previous);
    }

    /**
     * Parses an external error. Unknown codes are preserved: codes may be added. An error without code or message
     * becomes `protocol`.
     */
    public static function fromJson(mixed $value): self
    {
        $code = $value->code ?? null;
        $message = $value->message ?? null;
        if (!is_string($code) || !is_string($message) || preg_match('/^[a-z]+(-[a-z]+)*$/D', $code) !== 1) {
            return self::of('protocol', 'Cannot read error: code or message is missing');
        }
        $hint = $value->hint ?? null;
        $retryable = $value->retryable ?? null;
        $retryAfterMs = $value->retryAfterMs ?? null;
        $details = $value->details ?? null;
        return self::of(
            $code,
            $message,
            is_string($hint) ? $hint : null,
            is_bool($retryable) ? $retryable : null,
            is_int($retryAfterMs) ? $retryAfterMs : null,
            $details instanceof \stdClass ? (array) $details : [],
        );
    }
}
