import { assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { TransferRateCheck } from "./incoming_transfer.ts";

Deno.test("TransferRateCheck.check() accepts a fast sender, and none without end", () => {
  let now = 5_000;
  const pace = new TransferRateCheck(() => now);
  now += 60_000;
  pace.check(1_000);
  now += 1;
  const error = assertThrows(() => pace.check(1_000), PlasmError, "0 bytes came in 60001 ms");
  assertEquals(error.code, "slow-request");
  pace.check(40_000);
  // A second's worth.
  pace.add(4_000);
  now += 999;
  pace.check(1_000);
  now += 1;
  assertThrows(() => pace.check(1_000), PlasmError, "for so many 61000 ms are allowed");
});
