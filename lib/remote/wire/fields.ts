/**
 * Checks of single fields of messages. Each returns the value it was given, or throws.
 * @module
 */
import { isHash, isJobId } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";

/** Checks one field; `name` is its place, for the error. */
export type Check<T> = (value: unknown, name: string) => T;

function wrong(name: string, what: string): PlasmError {
  return new PlasmError("protocol", `Cannot read message: ${name} is not ${what}`, {
    details: { field: name },
  });
}

function pattern(isIt: (value: unknown) => boolean, what: string): Check<string> {
  return (value, name) => {
    if (!isIt(value)) throw wrong(name, what);
    return value as string;
  };
}

/** "sha256:" and 64 hex digits. */
export const hash: Check<string> = pattern(isHash, "a hash");

/** A job's id. */
export const jobId: Check<string> = pattern(isJobId, "a job id");

/** 32 random bytes in hex: nonces and secrets. */
export const token: Check<string> = pattern(
  (value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value),
  "64 hex digits",
);

/** One of some words. */
export function oneOf<T extends string>(...words: T[]): Check<T> {
  return (value, name) => {
    if (!words.includes(value as T)) throw wrong(name, words.join(" or "));
    return value as T;
  };
}

/** An integer that is not negative. */
export function count(max: number = Number.MAX_SAFE_INTEGER): Check<number> {
  return (value, name) => {
    if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > max) {
      throw wrong(name, `an integer from 0 to ${max}`);
    }
    return value as number;
  };
}

/** Text of some length at most. */
export function text(maxLength: number): Check<string> {
  return pattern(
    (value) => typeof value === "string" && value.length <= maxLength,
    `text of at most ${maxLength} characters`,
  );
}

/** Bytes of some length. */
export function bytes({ min = 0, max }: { min?: number; max: number }): Check<Uint8Array> {
  return (value, name) => {
    if (!(value instanceof Uint8Array) || value.length < min || value.length > max) {
      throw wrong(name, `${min} to ${max} bytes`);
    }
    return value;
  };
}

/** A value, or null. */
export function orNull<T>(check: Check<T>): Check<T | null> {
  return (value, name) => value === null ? null : check(value, name);
}

/** True or false. */
export const flag: Check<boolean> = (value, name) => {
  if (typeof value !== "boolean") throw wrong(name, "true or false");
  return value;
};

/** A map whose content another schema checks. */
export const document: Check<Record<string, unknown>> = (value, name) => {
  if (
    typeof value !== "object" || value === null || Array.isArray(value) ||
    value instanceof Uint8Array
  ) throw wrong(name, "a map");
  return value as Record<string, unknown>;
};

/** A list of some length at most. */
export function list<T>(check: Check<T>, max: number): Check<T[]> {
  return (value, name) => {
    if (!Array.isArray(value) || value.length > max) {
      throw wrong(name, `a list of at most ${max}`);
    }
    return value.map((item, at) => check(item, `${name}[${at}]`));
  };
}

/** The fields of a map: all of them, and no other. */
export function map<T extends Record<string, Check<unknown>>>(
  checks: T,
): Check<{ [K in keyof T]: ReturnType<T[K]> }> {
  const names = Object.keys(checks);
  return (value, name) => {
    const record = document(value, name || "message");
    const place = (key: string): string => name === "" ? key : `${name}.${key}`;
    for (const key of Object.keys(record)) {
      if (!Object.hasOwn(checks, key)) throw wrong(place(key.slice(0, 40)), "known");
    }
    const read = {} as Record<string, unknown>;
    for (const key of names) {
      if (!Object.hasOwn(record, key)) throw wrong(place(key), "there");
      read[key] = checks[key]!(record[key], place(key));
    }
    return read as { [K in keyof T]: ReturnType<T[K]> };
  };
}
