/**
 * Which WebAssembly proposals the engine takes, found by validating a tiny module for each.
 * @module
 */

// Each is the least module that is valid with the proposal only: the eight-byte header, then
// sections as in the core specification, chapter 5.
const PROBES: Readonly<Record<string, string>> = {
  // (func (drop (i32.extend8_s (i32.const 0))))
  "sign-extension": "0104016000000302010" + "00a08010600" + "4100c01a0b",
  // (func (drop (i32.trunc_sat_f32_s (f32.const 0))))
  "sat-float-to-int": "01040160000003020100" + "0a0c010a00" + "4300000000fc001a0b",
  // (func (result i32 i32) i32.const 0 i32.const 0)
  "multi-value": "010601600002" + "7f7f03020100" + "0a08010600" + "410041000b",
  // memory.copy
  "bulk-memory": "01040160000003020100" + "0503010001" + "0a0e010c00" + "410041004100fc0a00000b",
  // (func (drop (ref.null func)))
  "reference-types": "01040160000003020100" + "0a07010500" + "d0701a0b",
  // (func (result v128) i32.const 0 i8x16.splat i8x16.popcnt)
  "simd": "0105016000017b03020100" + "0a0a010800" + "4100fd0ffd620b",
  // i8x16.relaxed_swizzle
  "relaxed-simd": "0105016000017b03020100" + "0a0f010d00" + "4101fd0f4102fd0ffd80020b",
  // i32.atomic.load of a shared memory
  "threads": "01040160000003020100" + "050401030101" + "0a0b010900" + "4100fe1002001a0b",
  // (func return_call 0)
  "tail-call": "01040160000003020100" + "0a06010400" + "12000b",
  // try_table without a clause
  "exceptions": "01040160000003020100" + "0a08010600" + "1f40000b0b",
  // an offset of (i32.add (i32.const 1) (i32.const 2))
  "extended-const": "0503010001" + "0b0901004101" + "41026a0b00",
  // (type (struct (field i8)))
  "gc": "0105015f01" + "7800",
  // (memory i64 1)
  "memory64": "0503010401",
  // two memories
  "multi-memory": "05050200000000",
};

const HEADER = "0061736d01000000";

/** Names of the proposals that the engine of this process takes, in alphabetical order. */
export function probeWasmFeatures(): string[] {
  return Object.entries(PROBES)
    .filter(([, body]) => WebAssembly.validate(Uint8Array.fromHex(HEADER + body)))
    .map(([name]) => name)
    .sort();
}
