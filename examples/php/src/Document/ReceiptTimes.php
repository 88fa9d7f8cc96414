<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\Exception\BadReceiptException;
use Plasm\Receipt;

/** The times of a receipt, and which of them can be. */
final class ReceiptTimes
{
    /**
     * How far `wall_time_ms` may be from the difference of the two times, in milliseconds. They come from two
     * clocks, and the wall clock may be set while a job runs.
     */
    private const WALL_TIME_TOLERANCE_MS = 1000;

    private const FORMAT = 'Y-m-d\TH:i:s.v\Z';

    /**
     * Checks that both times exist, are in order and agree with the duration.
     *
     * @throws BadReceiptException
     */
    public static function check(Receipt $receipt): void
    {
        $started = self::parse('started_at', $receipt->startedAt);
        $finished = self::parse('finished_at', $receipt->finishedAt);
        if ($finished < $started) {
            $why = "finished_at is $receipt->finishedAt, before started_at $receipt->startedAt";
            throw ReceiptVerifier::refusal('finished_at', $why);
        }
        $wallTime = $receipt->usage->wallTimeMs;
        $difference = $finished - $started;
        if (abs($wallTime - $difference) > self::WALL_TIME_TOLERANCE_MS) {
            $why = "usage.wall_time_ms is $wallTime, finished_at is $difference ms after started_at";
            throw ReceiptVerifier::refusal('usage.wall_time_ms', $why);
        }
    }

    /**
     * Unix time in milliseconds.
     *
     * @throws BadReceiptException when there is no such time
     */
    public static function parse(string $field, string $text): int
    {
        $time = \DateTimeImmutable::createFromFormat('!' . self::FORMAT, $text, new \DateTimeZone('UTC'));
        // PHP reads 30 February as 2 March.
        if ($time === false || $time->format(self::FORMAT) !== $text) {
            throw ReceiptVerifier::refusal($field, "$field is not a valid time: $text");
        }
        return $time->getTimestamp() * 1000 + (int) $time->format('v');
    }

    /** Shows a Unix time in milliseconds. */
    public static function text(int $time): string
    {
        $seconds = intdiv($time - (($time % 1000) + 1000) % 1000, 1000);
        return gmdate('Y-m-d\TH:i:s', $seconds) . sprintf('.%03dZ', $time - $seconds * 1000);
    }
}
