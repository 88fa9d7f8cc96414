import { assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { TransferRateCheck } from "./incoming_transfer.ts";

Deno.test("TransferRateCheck.check() throws when the time for the received bytes has passed", () => {
  let now = 5_000;
  const rate = new TransferRateCheck(() => now);
  now += 60_000;
  rate.check(1_000);
  now += 1;
  const error = assertThrows(() => rate.check(1_000), PlasmError, "0 bytes received in 60001 ms");
  assertEquals(error.code, "slow-request");
  rate.check(40_000);
  // One second's worth of content.
  rate.add(4_000);
  now += 999;
  rate.check(1_000);
  now += 1;
  assertThrows(() => rate.check(1_000), PlasmError, "allowed are 61000 ms");
});
