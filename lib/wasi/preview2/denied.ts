/**
 * Implements the functions of wasi:sockets and wasi:http, which toolchains import without using them: each fails.
 *
 * @module
 */
import { AbiError, type HostFunction } from "../../wasm/component/runtime/mod.ts";
import type { FunctionType, ValueType } from "../../wasm/component/mod.ts";
import { err, resource } from "./wit_values.ts";

/** Cases that say that something is denied, in order of preference. */
const DENIALS = ["access-denied", "HTTP-request-denied", "not-supported"];

/** Returns a function that answers that its caller may not do this. */
export function denied(name: string, { result }: FunctionType): HostFunction {
  if (result === undefined) return () => undefined;
  // Such as instance-network(), which programs call before they find out that they have no network.
  if (result.kind === "own") return () => resource(undefined);
  if (result.kind !== "variant" || !result.text.startsWith("result")) {
    return () => {
      throw new AbiError(`${name} is not supported`);
    };
  }
  const error = result.cases[1];
  if (error === undefined) return () => err();
  const denial = denialOf(error);
  return () => {
    if (denial === undefined) throw new AbiError(`${name} is not supported`);
    return err({ tag: denial });
  };
}

/** Number of the case that says that something is denied. */
function denialOf({ kind, text }: ValueType): number | undefined {
  if (kind !== "variant") return undefined;
  const labels = labelsOf(text);
  const denial = DENIALS.find((label) => labels.includes(label));
  return denial === undefined ? undefined : labels.indexOf(denial);
}

/** Labels of an enum or variant; those with a payload are left empty. */
function labelsOf(text: string): string[] {
  const labels: string[] = [];
  let depth = 0;
  let label = "";
  for (const character of text.slice(text.indexOf("{") + 1, -1)) {
    if ("({<".includes(character)) depth++;
    if (")}>".includes(character)) depth--;
    if (character === "," && depth === 0) {
      labels.push(label.trim());
      label = "";
    } else label += character;
  }
  return [...labels, label.trim()];
}
