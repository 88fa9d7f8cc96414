<?php

declare(strict_types=1);

namespace Plasm\Exception;

use Plasm\PlasmException;

/**
 * Error codes of plasm with their fault and retryability. A test compares the table with the daemon's.
 */
final class ErrorCode
{
    /** Code to fault and whether the same call may succeed later. */
    public const ALL = [
        'usage' => ['caller', false],
        'bad-manifest' => ['caller', false],
        'bad-module' => ['caller', false],
        'bad-input' => ['caller', false],
        'bad-config' => ['node', false],
        'not-found' => ['caller', false],
        'conflict' => ['caller', false],
        'method-not-allowed' => ['caller', false],
        'unsupported-media' => ['caller', false],
        'too-large' => ['caller', false],
        'slow-request' => ['caller', true],
        'unauthorized' => ['caller', false],
        'forbidden' => ['caller', false],
        'policy' => ['node', false],
        'over-limit' => ['caller', false],
        'queue-full' => ['node', true],
        'busy' => ['node', true],
        'job-timeout' => ['job', false],
        'job-trap' => ['job', false],
        'job-memory' => ['job', false],
        'job-output' => ['job', false],
        'job-fuel' => ['job', false],
        'interrupted' => ['caller', false],
        'output-closed' => ['caller', false],
        'bad-receipt' => ['node', false],
        'bad-identity' => ['node', false],
        'protocol' => ['network', false],
        'no-daemon' => ['node', true],
        'no-peer' => ['network', true],
        'disabled' => ['node', false],
        'unreachable' => ['network', true],
        'peer-timeout' => ['network', true],
        'state' => ['node', false],
        'executor' => ['node', true],
        'internal' => ['node', false],
    ];

    /** Codes with exception classes of their own. */
    private const OWN_CLASS = [
        'not-found' => NotFoundException::class,
        'interrupted' => InterruptedException::class,
        'bad-receipt' => BadReceiptException::class,
        'no-daemon' => NoDaemonException::class,
        'queue-full' => BusyException::class,
        'busy' => BusyException::class,
    ];

    private const CLASS_BY_FAULT = [
        'caller' => CallerException::class,
        'job' => JobException::class,
        'node' => NodeException::class,
        'network' => NetworkException::class,
    ];

    /** Whether the same call may succeed later; false for codes of a newer daemon. */
    public static function isRetryable(string $code): bool
    {
        return self::ALL[$code][1] ?? false;
    }

    /** @return class-string<PlasmException> */
    public static function classOf(string $code): string
    {
        $fault = self::ALL[$code][0] ?? null;
        return self::OWN_CLASS[$code] ?? self::CLASS_BY_FAULT[$fault] ?? PlasmException::class;
    }
}
