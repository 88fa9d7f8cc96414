/**
 * Demangles symbol names of Rust and C++.
 *
 * @module
 */
import { demangleCpp } from "./cpp_symbol.ts";
import { demangleRust } from "./rust_symbol.ts";

/** Returns the name in source form, or the symbol itself if no scheme covers it. */
export function demangle(symbol: string): string {
  return demangleRust(symbol) ?? demangleCpp(symbol) ?? symbol;
}
