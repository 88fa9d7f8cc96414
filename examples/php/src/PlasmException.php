<?php

declare(strict_types=1);

namespace Plasm;

use Plasm\Exception\ErrorCode;

/**
 * An error with a stable code, a message that states what was asked and what is allowed, and what
 * to do next. The daemon's own errors arrive unchanged; the class says whose fault it is.
 */
class PlasmException extends \RuntimeException
{
    /** Whether the same call may succeed later without a change. */
    public readonly bool $retryable;

    /**
     * Use {@see PlasmException::of()}, which picks the class that belongs to the code.
     *
     * @param string               $errorCode    stable, kebab-case; see {@see ErrorCode}
     * @param string|null          $hint         what to do next
     * @param bool|null            $retryable    null: the code's own
     * @param int|null             $retryAfterMs when a retry makes sense, in milliseconds from now
     * @param array<string, mixed> $details      the figures of the message, for programs
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
     * Makes the exception of the class that belongs to the code.
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
     * Reads an error that came from outside. A code that this version does not know keeps its name: codes
     * may be added. What has no code or message becomes `protocol`.
     */
    public static function fromJson(mixed $value): self
    {
        $code = $value->code ?? null;
        $message = $value->message ?? null;
        if (!is_string($code) || !is_string($message) || preg_match('/^[a-z]+(-[a-z]+)*$/D', $code) !== 1) {
            return self::of('protocol', 'Cannot read error: it has no code and message');
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
