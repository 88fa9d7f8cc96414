/**
 * `clock_*`.
 * @module
 */
import { ERRNO } from "./abi.ts";
import { CLOCK_RESOLUTION_NS } from "../clock.ts";
import type { WasiContext, WasiFunctions } from "./call_context.ts";

/** The functions that read clocks. */
export function clock({ memory, clocks }: WasiContext): WasiFunctions {
  return {
    clock_res_get(id: number, result: number): number {
      if (clocks.preciseMs(id) === undefined) return ERRNO.INVAL;
      if (!memory.ok(result >>> 0, 8)) return ERRNO.FAULT;
      memory.view.setBigUint64(result >>> 0, BigInt(CLOCK_RESOLUTION_NS), true);
      return 0;
    },

    // The wanted precision is a hint (typenames.witx: "maximum lag"); there is only one.
    clock_time_get(id: number, _precision: bigint, result: number): number {
      const time = clocks.read(id);
      if (time === undefined) return ERRNO.INVAL;
      if (!memory.ok(result >>> 0, 8)) return ERRNO.FAULT;
      memory.view.setBigUint64(result >>> 0, time, true);
      return 0;
    },
  };
}
