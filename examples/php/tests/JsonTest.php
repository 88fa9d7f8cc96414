<?php

declare(strict_types=1);

namespace Plasm\Tests;

use Plasm\Document\CanonicalJson;
use Plasm\Document\Json;
use Plasm\Document\PeerId;

final class JsonTest
{
    private static function parse(string $json): mixed
    {
        return Json::parse($json, 100_000, 'usage', 'test');
    }

    public function testCanonicalFormMatchesThePublishedVectors(): void
    {
        foreach (Vectors::read('canonical')->accepted as $vector) {
            $canonical = CanonicalJson::encode(self::parse($vector->json));
            Check::same($vector->canonical, $canonical, $vector->name);
            Check::same($vector->hex, bin2hex($canonical), $vector->name);
        }
    }

    public function testCanonicalFormRejectsThePublishedVectors(): void
    {
        foreach (Vectors::read('canonical')->refused as $vector) {
            try {
                $found = CanonicalJson::encode(self::parse($vector->json));
            } catch (\Plasm\PlasmException) {
                continue;
            }
            throw new \RuntimeException("$vector->name became $found");
        }
    }

    public function testCanonicalFormRejectsOtherTypes(): void
    {
        foreach ([1.5, NAN, INF, PHP_INT_MIN, "\xff", "\xed\xa0\x80", ['a' => 1], new \DateTime(), 2 ** 53] as $value) {
            Check::fails('internal', fn () => CanonicalJson::encode($value));
        }
        $deep = [];
        $deep[] = &$deep;
        Check::fails('internal', fn () => CanonicalJson::encode($deep));
    }

    public function testParseRejectsAmbiguousJson(): void
    {
        $refused = [
            '{"a":1,"a":1}', '{"a":{"b":1,"c":[{"d":1,"\u0064":2}]}}', '{"1":1,"1":2}', '{"":1,"":1}',
            "\xEF\xBB\xBF{}", '{"a":1,}', '[1,]', "['a']", 'TRUE', 'Null', '01', '+1', '.5', '1.', 'NaN', '1e999',
            '"' . "\t" . '"', '"\x"', '"\ud800"', "\"\xff\"", '', ' ', '{} {}', '{"\u0000a":1}', '[' . '"a":1' . ']',
            str_repeat('[', 33) . str_repeat(']', 33), str_repeat(' ', 100_000) . '1',
        ];
        foreach ($refused as $json) {
            Check::fails('usage', fn () => self::parse($json), substr($json, 0, 40));
        }
    }

    public function testParsePreservesValues(): void
    {
        Check::same('{"a":[],"b":{}}', CanonicalJson::encode(self::parse('{"b":{},"a":[]}')));
        Check::same([1, 100, 0, 4.5], self::parse('[1.0, 1e2, -0.0, 4.5]'));
        Check::same('{"0":{"0":1},"1":{"0":2},"a":"{\"a\":1,\"a\":2}"}', CanonicalJson::encode(
            self::parse('{"1":{"0":2},"0":{"0":1},"a":"{\"a\":1,\"a\":2}"}'),
        ));
        Check::same(32, strlen(CanonicalJson::encode(self::parse(str_repeat('[', 32) . str_repeat(']', 32)))) / 2);
        // Many escapes must not exceed PCRE's limits.
        Check::same(45_000, strlen(self::parse('{"a":"' . str_repeat('\\\\', 45_000) . '"}')->a));
    }

    public function testPeerIdIsDerivedFromTheKey(): void
    {
        $vectors = Vectors::read('receipt');
        Check::same($vectors->peer_id, PeerId::fromPublicKey($vectors->public_key));
        Check::same(
            '12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7',
            PeerId::fromPublicKey('ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c'),
        );
    }
}
