/**
 * The query of a discovery, as `POST /v1/discover` takes it.
 * @module
 */
import { PlasmError } from "../errors.ts";
import type { DiscoverCriteria } from "../network/candidate.ts";

/** What to look for, and how long. */
export type DiscoverQuery = DiscoverCriteria & {
  limit?: number | undefined;
  timeoutMs?: number | undefined;
};

const isText = (value: unknown): boolean => typeof value === "string" && value.length <= 64;
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;
const isTexts = (value: unknown): boolean =>
  Array.isArray(value) && value.length <= 64 && value.every(isText);

const FIELDS: Readonly<Record<keyof DiscoverQuery, [(value: unknown) => boolean, string]>> = {
  arch: [isText, "a short text"],
  runtime: [isText, "a short text"],
  wasi: [isText, "a short text"],
  features: [isTexts, "a list of short texts"],
  minMemoryMb: [isCount, "a count"],
  minTimeoutSeconds: [isCount, "a count"],
  minCores: [isCount, "a count"],
  limit: [isCount, "a count"],
  timeoutMs: [isCount, "a count"],
};

/**
 * Reads a query.
 *
 * @throws {PlasmError} `usage`
 */
export function readQuery(query: unknown): DiscoverQuery {
  if (typeof query !== "object" || query === null || Array.isArray(query)) {
    throw refusal("the query is no object");
  }
  for (const [name, value] of Object.entries(query)) {
    if (!Object.hasOwn(FIELDS, name)) throw refusal(`${name.slice(0, 40)} is not known`);
    const [isRight, what] = FIELDS[name as keyof DiscoverQuery];
    if (!isRight(value)) throw refusal(`${name} is not ${what}`);
  }
  return query;
}

function refusal(why: string): PlasmError {
  return new PlasmError("usage", `Cannot discover nodes: ${why}`, {
    hint: `A query may have ${Object.keys(FIELDS).join(", ")}`,
  });
}
