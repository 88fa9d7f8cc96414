import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { parseCidr, parseIp } from "./cidr.ts";

Deno.test("parseCidr() holds what is in its range", () => {
  for (
    const [range, inside, outside] of [
      ["10.0.0.0/8", "10.255.0.1", "11.0.0.0"],
      ["192.168.1.128/25", "192.168.1.200", "192.168.1.127"],
      ["1.2.3.4", "1.2.3.4", "1.2.3.5"],
      ["0.0.0.0/0", "255.255.255.255", "::1"],
      ["fd00::/8", "fdff:1::2", "fc00::"],
      ["2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"],
      ["::1", "::1", "::2"],
      ["10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"],
    ] as const
  ) {
    assert(parseCidr(range).contains(inside), `${range} ${inside}`);
    assertFalse(parseCidr(range).contains(outside), `${range} ${outside}`);
  }
});

Deno.test("parseCidr() refuses what is no range", () => {
  for (const text of ["", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/8/8", "::1/129", "x", "1.2.3.4/"]) {
    assertThrows(() => parseCidr(text), PlasmError, `Cannot read address range: ${text}`);
  }
});

Deno.test("parseIp() knows the ways to write IPv6, and what is none", () => {
  assertEquals(parseIp("1::8")?.toHex(), "00010000000000000000000000000008");
  assertEquals(parseIp("::")?.toHex(), "0".repeat(32));
  assertEquals(parseIp("64:ff9b::1.2.3.4")?.toHex(), "0064ff9b000000000000000001020304");
  for (const text of ["1:2:3:4:5:6:7:8:9", "1::2::3", ":::", "1:2", "12345::", "01.2.3.4", "g::"]) {
    assertEquals(parseIp(text), null, text);
  }
});
