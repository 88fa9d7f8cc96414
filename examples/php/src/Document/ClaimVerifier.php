<?php

declare(strict_types=1);

namespace Plasm\Document;

use Plasm\Absent;
use Plasm\Claim;
use Plasm\Exception\BadReceiptException;
use Plasm\Expectations;
use Plasm\Hash;
use Plasm\Manifest;
use Plasm\Measured;
use Plasm\Outcome;

/** Compares a claim with what was sent and received. */
final class ClaimVerifier
{
    /**
     * Checks a claim against the expectations.
     *
     * @throws BadReceiptException
     */
    public static function check(Claim $claim, Expectations $expected): void
    {
        $manifest = $expected->manifest;
        if ($manifest !== Absent::Value) {
            $stdin = $manifest->stdinHash ?? Absent::Value;
            self::compare('manifest_hash', $claim->manifestHash, $manifest->hash()->text, 'the manifest');
            self::compare('module_hash', $claim->moduleHash, $manifest->moduleHash, 'the manifest names');
            self::compare('stdin_hash', $claim->stdinHash, $stdin, 'the manifest names');
            self::checkAsked($claim, $manifest);
        }
        self::compare('module_hash', $claim->moduleHash, self::hashOf($expected->module), 'the module sent is');
        self::compare('stdin_hash', $claim->stdinHash, self::hashOf($expected->stdin), 'the stdin sent is');
        self::checkContent(['stdout'], $claim->stdout, $expected->stdout);
        self::checkContent(['stderr'], $claim->stderr, $expected->stderr);
        if ($expected->outputs !== Absent::Value) {
            self::checkOutputs($claim, $expected->outputs);
        }
    }

    /** Compares what the claim contains with what the manifest asked for. */
    private static function checkAsked(Claim $claim, Manifest $manifest): void
    {
        self::compare('profile', $claim->profile->value, $manifest->profile->value, 'the manifest asks');
        if ($claim->fuel !== null && ($manifest->fuel === null || $claim->fuel > $manifest->fuel)) {
            $limit = $manifest->fuel ?? 'none';
            throw ReceiptVerifier::error('claim.fuel', "claim.fuel is $claim->fuel, the manifest's limit is $limit");
        }
        if ($claim->fuel === null && $manifest->fuel !== null && $claim->status === Outcome::Exited) {
            throw ReceiptVerifier::error('claim.fuel', 'claim.fuel is missing, the manifest asks for it');
        }
        foreach (self::paths($claim->outputs) as $path) {
            if (!self::isAsked($path, $manifest->outputs)) {
                $field = JsonPath::text(['claim', 'outputs', $path]);
                throw ReceiptVerifier::error($field, "$field is not among the manifest's outputs");
            }
        }
    }

    /** @param list<string> $outputs */
    private static function isAsked(string $path, array $outputs): bool
    {
        foreach ($outputs as $asked) {
            $isBelow = $asked === './' ? !str_starts_with($path, '/') : str_starts_with($path, $asked);
            if ($path === $asked || (str_ends_with($asked, '/') && $isBelow)) {
                return true;
            }
        }
        return false;
    }

    /** @param array<array-key, string|Measured> $received */
    private static function checkOutputs(Claim $claim, array $received): void
    {
        foreach (self::paths($claim->outputs + $received) as $path) {
            $field = JsonPath::text(['claim', 'outputs', $path]);
            if (!isset($claim->outputs[$path])) {
                throw ReceiptVerifier::error($field, "$field is missing, it was received");
            }
            if (!isset($received[$path])) {
                throw ReceiptVerifier::error($field, "$field was not received");
            }
            self::checkContent(['outputs', $path], $claim->outputs[$path], $received[$path]);
        }
    }

    /**
     * @param array<array-key, mixed> $files
     * @return list<string> in canonical order
     */
    private static function paths(array $files): array
    {
        return CanonicalJson::names((object) $files);
    }

    /** @param list<string> $path */
    private static function checkContent(array $path, Measured $claimed, string|Measured|Absent $received): void
    {
        if ($received instanceof Absent) {
            return;
        }
        $received = is_string($received) ? Measured::of($received) : $received;
        $field = JsonPath::text(['claim', ...$path]);
        if ($claimed->hash->text !== $received->hash->text) {
            $why = "$field.hash is {$claimed->hash}, received bytes hash to {$received->hash}";
            throw ReceiptVerifier::error("$field.hash", $why);
        }
        if ($claimed->bytes !== $received->bytes) {
            $why = "$field.bytes is $claimed->bytes, received were $received->bytes";
            throw ReceiptVerifier::error("$field.bytes", $why);
        }
    }

    private static function hashOf(string|Hash|Absent $content): string|Absent
    {
        return match (true) {
            $content instanceof Absent => $content,
            $content instanceof Hash => $content->text,
            default => Hash::of($content)->text,
        };
    }

    private static function compare(string $name, string $claimed, string|Absent $wanted, string $source): void
    {
        ReceiptVerifier::compare("claim.$name", $claimed, $wanted, $source);
    }
}
