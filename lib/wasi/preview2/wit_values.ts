/**
 * Makes the values that the functions of WASI 0.2 return.
 *
 * @module
 */
import type {
  ComponentValue,
  ResourceValue,
  VariantValue,
} from "../../wasm/component/runtime/mod.ts";
import { ERRNO } from "../abi.ts";

/** The result `ok`. */
export function ok(value?: ComponentValue): VariantValue {
  return { tag: 0, value };
}

/** The result `error`. */
export function err(value?: ComponentValue): VariantValue {
  return { tag: 1, value };
}

/** The option `none`. */
export const NONE: VariantValue = { tag: 0 };

/** The option `some`. */
export function some(value: ComponentValue): VariantValue {
  return { tag: 1, value };
}

/** An owned or borrowed resource. */
export function resource(rep: unknown): ResourceValue {
  return { rep };
}

/** What a resource represents; its type was checked with its handle. */
export function repOf<Rep>(value: ComponentValue): Rep {
  return (value as ResourceValue).rep as Rep;
}

/** Number of each case of `error-code` that an errno becomes, in the order of wasi:filesystem/types. */
const ERROR_CODES: Readonly<Record<number, number>> = {
  [ERRNO.AGAIN]: 1,
  [ERRNO.BADF]: 3,
  [ERRNO.BUSY]: 4,
  [ERRNO.EXIST]: 7,
  [ERRNO.FBIG]: 8,
  [ERRNO.ILSEQ]: 9,
  [ERRNO.INVAL]: 12,
  [ERRNO.IO]: 13,
  [ERRNO.ISDIR]: 14,
  [ERRNO.LOOP]: 15,
  [ERRNO.MLINK]: 16,
  [ERRNO.NAMETOOLONG]: 18,
  [ERRNO.NODEV]: 19,
  [ERRNO.NOENT]: 20,
  [ERRNO.MFILE]: 22,
  [ERRNO.NOMEM]: 22,
  [ERRNO.NOSPC]: 23,
  [ERRNO.NOTDIR]: 24,
  [ERRNO.NOTEMPTY]: 25,
  [ERRNO.NOTSUP]: 27,
  [ERRNO.PERM]: 31,
  [ERRNO.NOTCAPABLE]: 31,
  [ERRNO.SPIPE]: 34,
};

/** The enum `error-code` of an errno. */
export function errorCode(errno: number): VariantValue {
  return { tag: ERROR_CODES[errno] ?? ERROR_CODES[ERRNO.IO]! };
}

/** The result of a function that returns an errno. */
export function resultOf(errno: number): VariantValue {
  return errno === 0 ? ok() : err(errorCode(errno));
}

const NS_PER_S = 1_000_000_000n;

/** The record `datetime` of Unix time in nanoseconds. */
export function datetime(ns: bigint): ComponentValue {
  const time = ns < 0n ? 0n : ns;
  return [time / NS_PER_S, Number(time % NS_PER_S)];
}

/** Unix time in nanoseconds of a record `datetime`. */
export function nanoseconds(value: ComponentValue): bigint {
  const [seconds, rest] = value as [bigint, number];
  return seconds * NS_PER_S + BigInt(rest);
}
