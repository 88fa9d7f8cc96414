/**
 * Modules that trap.
 * @module
 */
import { command, type CommandOptions, type HostileModule } from "./case.ts";
import { assemble } from "./wat.ts";

function trap(
  name: string,
  what: string,
  { code, message, ...options }: CommandOptions & { code: string; message: string },
): HostileModule {
  return {
    name: `trap-${name}`,
    what,
    bytes: () => assemble(command(code, options)),
    expect: { status: "trapped", messageIncludes: message },
  };
}

/** Modules that trap. */
export const TRAPS: readonly HostileModule[] = [
  trap("unreachable", "Reaches unreachable code", { code: "unreachable", message: "unreachable" }),
  trap("divide-by-zero", "Divides by zero", {
    code: `(drop (i32.div_s (i32.const 1) (i32.const 0)))`,
    message: "divide by zero",
  }),
  trap("divide-overflow", "Divides the least number by minus one", {
    code: `(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))`,
    message: "unrepresentable",
  }),
  trap("truncate", "Makes an integer of a number that is none", {
    code: `(drop (i32.trunc_f64_s (f64.const nan)))`,
    message: "unrepresentable",
  }),
  trap("load-out-of-bounds", "Reads just past its memory", {
    code: `(drop (i32.load (i32.const 65533)))`,
    message: "out of bounds",
  }),
  trap("store-far", "Writes at the far end of the address space", {
    code: `(i64.store offset=4294967295 (i32.const -1) (i64.const 1))`,
    message: "out of bounds",
  }),
  trap("call-null", "Calls an empty table entry", {
    code: `(call_indirect (i32.const 0))`,
    fields: `(table 1 funcref)`,
    message: "null",
  }),
  trap("call-past-table", "Calls past the end of a table", {
    code: `(call_indirect (i32.const 7))`,
    fields: `(table 1 funcref)`,
    message: "out of bounds",
  }),
  trap("call-wrong-type", "Calls a function as if it had another type", {
    code: `(call_indirect (param i32) (i32.const 1) (i32.const 0))`,
    fields: `(table funcref (elem $other)) (func $other)`,
    message: "signature mismatch",
  }),
  trap("recursion", "Calls itself to the end of the stack", {
    code: `(call $self (i64.const 1))`,
    fields: `(func $self (param i64) (call $self (local.get 0)) (call $self (local.get 0)))`,
    message: "stack",
  }),
  trap("recursion-caught", "Tries to catch the end of the stack, and would try again for ever", {
    code: `(loop $again (try (do (call $deep (i64.const 1))) (catch_all)) (br $again))`,
    fields: `(func $deep (param i64) (call $deep (local.get 0)) (call $deep (local.get 0)))
      (tag $unused)`,
    message: "stack",
  }),
  trap("start-function", "Traps in the start function, before _start", {
    code: "",
    fields: `(func $start unreachable) (start $start)`,
    message: "unreachable",
  }),
  trap("data-out-of-bounds", "Has a data segment that lies past its memory", {
    code: "",
    fields: `(data (i32.const 65535) "too long")`,
    message: "out of bounds",
  }),
  trap("elements-out-of-bounds", "Has an element segment that lies past its table", {
    code: "",
    fields: `(table 1 funcref) (func $f) (elem (i32.const 1) $f)`,
    message: "out of bounds",
  }),
  trap("exception", "Throws an exception that nobody catches", {
    code: `(throw $oops)`,
    fields: `(tag $oops)`,
    message: "",
  }),
];
