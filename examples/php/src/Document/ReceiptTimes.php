<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\Exception\BadReceiptException;
use Plasm\Run;

/** Checks the consistency of a receipt's times. */
final class ReceiptTimes
{
    /**
     * Maximum difference between `wall_time_ms` and the interval between the two times, in milliseconds. They come
     * from two clocks, and the wall clock may be set while a job runs.
     */
    private const WALL_TIME_TOLERANCE_MS = 1000;

    private const FORMAT = 'Y-m-d\TH:i:s.v\Z';

    /**
     * Checks that both times are valid, in order and consistent with the duration.
     *
     * @throws BadReceiptException
     */
    public static function check(Run $run): void
    {
        $started = self::parse('run.started_at', $run->startedAt);
        $finished = self::parse('run.finished_at', $run->finishedAt);
        if ($finished < $started) {
            $why = "run.finished_at is $run->finishedAt, before started_at $run->startedAt";
            throw ReceiptVerifier::error('run.finished_at', $why);
        }
        $wallTime = $run->usage->wallTimeMs;
        $difference = $finished - $started;
        if (abs($wallTime - $difference) > self::WALL_TIME_TOLERANCE_MS) {
            $why = "run.usage.wall_time_ms is $wallTime, finished_at is $difference ms after started_at";
            throw ReceiptVerifier::error('run.usage.wall_time_ms', $why);
        }
    }

    /**
     * Parses a time to Unix milliseconds.
     *
     * @throws BadReceiptException if the time is invalid
     */
    public static function parse(string $field, string $text): int
    {
        $time = \DateTimeImmutable::createFromFormat('!' . self::FORMAT, $text, new \DateTimeZone('UTC'));
        // PHP parses 30 February as 2 March.
        if ($time === false || $time->format(self::FORMAT) !== $text) {
            throw ReceiptVerifier::error($field, "$field is not a valid time: $text");
        }
        return $time->getTimestamp() * 1000 + (int) $time->format('v');
    }

    /** Formats Unix milliseconds. */
    public static function text(int $time): string
    {
        $seconds = intdiv($time - (($time % 1000) + 1000) % 1000, 1000);
        return gmdate('Y-m-d\TH:i:s', $seconds) . sprintf('.%03dZ', $time - $seconds * 1000);
    }
}
