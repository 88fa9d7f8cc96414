import { assertEquals } from "@std/assert";
import { DEFAULT_RESOURCES } from "../../../core/manifest.ts";
import { EAGER_FUNCTIONS } from "../../../wasm/reorder/reorder.ts";
import { DEFAULT_CEILINGS } from "../../limits.ts";
import { DEFAULT_JOB_BYTES, TIER_MASK_FLAG } from "./spawn_executor.ts";

Deno.test("TIER_MASK_FLAG has one bit for each eager function", () => {
  const mask = Number(TIER_MASK_FLAG.split("=")[1]) >>> 0;
  assertEquals(mask.toString(2), "1".repeat(EAGER_FUNCTIONS));
});

Deno.test("DEFAULT_JOB_BYTES equals the memory of a job with default limits", () => {
  assertEquals(
    DEFAULT_JOB_BYTES,
    DEFAULT_RESOURCES.memory_mb * 2 ** 20 + DEFAULT_CEILINGS.fs_bytes,
  );
});
