import { assert, assertFalse, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { AddressRanges } from "./connection_gater.ts";

function ranges(...texts: string[]): AddressRanges {
  const all = new AddressRanges();
  for (const text of texts) all.add(text);
  return all;
}

Deno.test("AddressRanges.has() accepts exactly the addresses of a range", () => {
  for (
    const [range, inside, outside] of [
      ["10.0.0.0/8", "10.255.0.1", "11.0.0.0"],
      ["192.168.1.128/25", "192.168.1.200", "192.168.1.127"],
      ["1.2.3.4", "1.2.3.4", "1.2.3.5"],
      ["0.0.0.0/0", "255.255.255.255", "::1"],
      ["fd00::/8", "fdff:1::2", "fc00::"],
      ["2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"],
      ["::1", "::1", "::2"],
      ["1::8", "1:0:0:0:0:0:0:8", "1::9"],
      ["::", "0:0:0:0:0:0:0:0", "::1"],
      ["64:ff9b::1.2.3.4", "64:ff9b::102:304", "64:ff9b::102:305"],
      ["10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"],
      ["10.0.0.0/8", "::ffff:a01:203", "::ffff:b01:203"],
      ["::ffff:10.0.0.0/8", "10.1.2.3", "11.1.2.3"],
      ["::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"],
    ] as const
  ) {
    assert(ranges(range).has(inside), `${range} ${inside}`);
    assertFalse(ranges(range).has(outside), `${range} ${outside}`);
  }
});

Deno.test("AddressRanges.has() checks every range and rejects anything but an IP address", () => {
  const both = ranges("10.0.0.0/8", "fd00::/8");
  assert(both.has("10.0.0.1"));
  assert(both.has("fd00::1"));
  for (const text of ["", "x", "10.0.0", "010.0.0.1"]) assertFalse(both.has(text), text);
});

Deno.test("AddressRanges.add() throws for invalid ranges", () => {
  for (const text of ["", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/8/8", "::1/129", "x", "1.2.3.4/"]) {
    assertThrows(() => ranges(text), PlasmError, `Cannot read address range: ${text}`);
  }
});

Deno.test("AddressRanges.add() throws for invalid addresses", () => {
  for (
    const text of [
      "1:2:3:4:5:6:7:8:9",
      "1::2::3",
      ":::",
      "1:2",
      "12345::",
      "01.2.3.4",
      "g::",
      "fe80::1%eth0",
      "::ffff:10.0.0.0/33",
    ]
  ) {
    assertThrows(() => ranges(text), PlasmError, `Cannot read address range: ${text}`);
  }
});
