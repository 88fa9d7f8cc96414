/**
 * Validates the query of `POST /v1/discover`.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import type { DiscoverCriteria } from "../../p2p/mod.ts";

/** What to look for, and how long. */
export interface DiscoverQuery {
  criteria: DiscoverCriteria;
  limit: number | undefined;
  timeoutMs: number | undefined;
}

const isText = (value: unknown): boolean => typeof value === "string" && value.length <= 64;
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;
const isTexts = (value: unknown): boolean =>
  Array.isArray(value) && value.length <= 64 && value.every(isText);

/** The names of a query, as the schema in openapi.json has them. */
interface QueryJson {
  arch?: string;
  runtime?: string;
  wasi?: string;
  features?: string[];
  min_memory_mb?: number;
  min_timeout_seconds?: number;
  min_cores?: number;
  limit?: number;
  timeout_seconds?: number;
}

/** A search that takes longer than this has found what there is. */
const MAX_TIMEOUT_SECONDS = 600;

const FIELDS: Readonly<Record<keyof QueryJson, [(value: unknown) => boolean, string]>> = {
  arch: [isText, "a short text"],
  runtime: [isText, "a short text"],
  wasi: [isText, "a short text"],
  features: [isTexts, "a list of short texts"],
  min_memory_mb: [isCount, "a count"],
  min_timeout_seconds: [isCount, "a count"],
  min_cores: [isCount, "a count"],
  limit: [isCount, "a count"],
  timeout_seconds: [
    (value) => isCount(value) && (value as number) <= MAX_TIMEOUT_SECONDS,
    `a count up to ${MAX_TIMEOUT_SECONDS}`,
  ],
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
    const [isRight, what] = FIELDS[name as keyof QueryJson];
    if (!isRight(value)) throw refusal(`${name} is not ${what}`);
  }
  const { limit, timeout_seconds, ...rest }: QueryJson = query;
  return {
    criteria: {
      arch: rest.arch,
      runtime: rest.runtime,
      wasi: rest.wasi,
      features: rest.features,
      minMemoryMb: rest.min_memory_mb,
      minTimeoutSeconds: rest.min_timeout_seconds,
      minCores: rest.min_cores,
    },
    limit,
    timeoutMs: timeout_seconds === undefined ? undefined : timeout_seconds * 1000,
  };
}

function refusal(why: string): PlasmError {
  return new PlasmError("usage", `Cannot discover nodes: ${why}`, {
    hint: `A query may have ${Object.keys(FIELDS).join(", ")}`,
  });
}
