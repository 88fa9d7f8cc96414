<?php

declare(strict_types=1);

namespace Plasm\Document;

/** Formats paths and untrusted values for messages. */
final class JsonPath
{
    /** Maximum length of a value, in characters. */
    private const MAX_SHOWN = 80;

    // Control characters, and characters that reorder or hide text on a terminal (Unicode TR 36).
    private const UNSAFE = '/[\x{0}-\x{1f}\x{7f}-\x{9f}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{2069}\x{feff}]/u';

    /**
     * Formats a path: `resources.memory_mb`, `args[3]`, `inputs["a b"]`.
     *
     * @param list<string|int> $path
     */
    public static function text(array $path): string
    {
        $text = '';
        foreach ($path as $part) {
            if (is_int($part)) {
                $text .= "[$part]";
            } elseif (preg_match('/^[A-Za-z_][A-Za-z0-9_]*$/D', $part) !== 1) {
                $text .= '[' . self::valueText($part) . ']';
            } else {
                $text .= $text === '' ? $part : ".$part";
            }
        }
        return $text === '' ? 'the document' : $text;
    }

    /** Formats a value: as JSON if it is short, else its kind. */
    public static function valueText(mixed $value): string
    {
        if (is_array($value)) {
            return 'an array of ' . count($value);
        }
        if (is_object($value)) {
            return 'an object';
        }
        $json = json_encode($value, JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
        return $json === false ? 'text that is not UTF-8' : self::clip($json);
    }

    /** Truncates and escapes untrusted text. */
    public static function clip(string $text): string
    {
        // A character has at most four bytes: truncating first bounds the work. The last character may be split.
        $short = strlen($text) <= 4 * self::MAX_SHOWN
            ? $text
            : preg_replace('/[\xC0-\xFF]?[\x80-\xBF]*$/D', '', substr($text, 0, 4 * self::MAX_SHOWN + 4)) ?? '';
        if (preg_match('/^.{0,' . self::MAX_SHOWN . '}/us', $short, $match) !== 1) {
            $match = [preg_replace('/[^\x20-\x7e]/', '?', substr($text, 0, self::MAX_SHOWN)) ?? ''];
        }
        $shown = preg_replace_callback(
            self::UNSAFE,
            // json_encode() does not escape DEL.
            static fn (array $found): string => strlen($found[0]) === 1
                ? sprintf('\u%04x', ord($found[0]))
                : trim(json_encode($found[0], JSON_THROW_ON_ERROR), '"'),
            $match[0],
        ) ?? '';
        return $match[0] === $text ? $shown : "{$shown}…";
    }
}
