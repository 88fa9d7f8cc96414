import { assertEquals } from "@std/assert";
import { EAGER_FUNCTIONS } from "../../../wasm/reorder/reorder.ts";
import { TIER_MASK_FLAG } from "./executor_command.ts";

Deno.test("TIER_MASK_FLAG has one bit for each eager function", () => {
  const mask = Number(TIER_MASK_FLAG.split("=")[1]) >>> 0;
  assertEquals(mask.toString(2), "1".repeat(EAGER_FUNCTIONS));
});
