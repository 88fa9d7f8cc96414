import { assertEquals } from "@std/assert";
import { Point } from "@noble/ed25519";
import { isWeakKey } from "./small_order_key.ts";

/** A point of order 8: RFC 8032's group has a cofactor of 8. */
const T8 = Point.fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");

Deno.test("isWeakKey() knows all eight points of small order, in all forms", () => {
  let point = Point.ZERO;
  const found = new Set<string>();
  for (let n = 0; n < 8; n++, point = point.add(T8)) {
    assertEquals(isWeakKey(point.toBytes()), true);
    assertEquals(point.isSmallOrder(), true);
    found.add(point.toHex());
    const negative = point.toBytes();
    negative[31]! ^= 0x80; // with x = 0 this is a form that is not canonical
    assertEquals(isWeakKey(negative), true);
  }
  assertEquals(found.size, 8);
});

Deno.test("isWeakKey() takes y at or above the modulus for weak, and the y before it alone", () => {
  for (let low = 0xe0; low <= 0xff; low++) {
    for (const top of [0x7f, 0xff]) {
      const key = new Uint8Array(32).fill(0xff);
      [key[0], key[31]] = [low, top];
      assertEquals(isWeakKey(key), low >= 0xec); // 0xec is -1, of order 2
      key[17] = 0xfe;
      assertEquals(isWeakKey(key), false);
    }
  }
});

Deno.test("isWeakKey() lets keys of others pass, and changes none", () => {
  let point = Point.BASE;
  for (let n = 0; n < 50; n++, point = point.double().add(T8)) {
    const key = point.toBytes();
    assertEquals(isWeakKey(key), false);
    assertEquals(key, point.toBytes());
  }
});
