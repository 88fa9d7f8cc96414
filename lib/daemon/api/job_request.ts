/**
 * Validates request parameters and job submissions.
 * @module
 */
import { createManifest, isHash, isJobId, manifestHash } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { Submission } from "../jobs/mod.ts";
import { FINAL_STATES, type JobState, type JobTarget } from "../store/mod.ts";

const STATES: readonly string[] = ["queued", "running", ...FINAL_STATES];

/** Most jobs in one page of a list. */
const MAX_PAGE = 1000;

function usage(message: string): PlasmError {
  return new PlasmError("usage", `Cannot read request: ${message}`);
}

/** A hash in a path. */
export function hashParam(text: string): string {
  if (isHash(text)) return text;
  throw usage(`"${text}" is not sha256: and 64 hex digits`);
}

/** A job id in a path; what is none cannot name a job. */
export function jobParam(text: string): string {
  if (isJobId(text)) return text;
  throw new PlasmError("not-found", `Cannot find job: no job ${text}`);
}

/** A whole number in a query. */
export function integerParam(
  url: URL,
  name: string,
  bounds: { fallback: number; max: number },
): number {
  const text = url.searchParams.get(name);
  if (text === null) return bounds.fallback;
  const value = Number(text);
  if (!/^\d{1,16}$/.test(text) || value > bounds.max) {
    throw usage(`${name} is "${text}", must be an integer from 0 to ${bounds.max}`);
  }
  return value;
}

/** Filter and page of a list of jobs; `before` is a job id. */
export function listParams(
  url: URL,
): { state?: JobState; submitter?: string; limit: number; before?: string } {
  const state = url.searchParams.get("state");
  const submitter = url.searchParams.get("submitter");
  const before = url.searchParams.get("before");
  if (state !== null && !STATES.includes(state)) {
    throw usage(`state is "${state}", must be one of ${STATES.join(", ")}`);
  }
  const limit = integerParam(url, "limit", { fallback: 100, max: MAX_PAGE });
  if (limit === 0) throw usage(`limit is 0, must be from 1 to ${MAX_PAGE}`);
  return {
    ...(state === null ? {} : { state: state as JobState }),
    ...(submitter === null ? {} : { submitter }),
    limit,
    ...(before === null ? {} : { before: jobParam(before) }),
  };
}

const FIELDS: readonly string[] = ["manifest", "nonce", "stdin", "submitter", "target"];

/**
 * A submission over the local API. What the manifest leaves out has its default.
 *
 * @throws {PlasmError} `usage`, `bad-manifest`
 */
export async function submissionOf(body: unknown): Promise<Submission> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw usage("the body is not an object");
  }
  const record = body as Record<string, unknown>;
  for (const name of Object.keys(record)) {
    if (!FIELDS.includes(name)) throw usage(`unknown field "${name}", known are ${FIELDS}`);
  }
  const { manifest, nonce, stdin, submitter, target } = record;
  if (typeof manifest !== "object" || manifest === null || Array.isArray(manifest)) {
    throw usage("manifest is missing or not an object");
  }
  if (nonce !== undefined && !(typeof nonce === "string" && /^[0-9a-f]{64}$/.test(nonce))) {
    throw usage("nonce must be 64 lowercase hex digits");
  }
  if (
    submitter !== undefined &&
    !(typeof submitter === "string" && /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(submitter))
  ) {
    throw usage("submitter must be up to 64 letters, digits, dots, dashes or underscores");
  }
  return {
    submitter: submitter === undefined ? "local" : `local:${submitter}`,
    ...await completed(manifest),
    ...(nonce === undefined ? {} : { nonce: nonce as string }),
    ...(stdin === undefined ? {} : { stdin: decodeBase64(stdin) }),
    ...(target === undefined ? {} : { target: targetOf(target) }),
  };
}

/** Manifests that were found right, by what the client sent: many jobs differ in their stdin only. */
const completedBefore = new Map<string, CompletedManifest>();

/** Manifests that are remembered; and the longest one, in UTF-16 units. */
const MAX_REMEMBERED = 64;
const MAX_REMEMBERED_LENGTH = 4096;

/** A manifest with its hash. */
type CompletedManifest = Required<Pick<Submission, "manifest" | "manifestHash">>;

async function completed(fields: object): Promise<CompletedManifest> {
  const text = JSON.stringify(fields);
  const known = completedBefore.get(text);
  if (known !== undefined) return known;
  // The schema refuses whatever does not belong there.
  const manifest = createManifest(fields as Parameters<typeof createManifest>[0]);
  const found = { manifest, manifestHash: await manifestHash(manifest) };
  if (text.length <= MAX_REMEMBERED_LENGTH) {
    if (completedBefore.size >= MAX_REMEMBERED) completedBefore.clear();
    completedBefore.set(text, found);
  }
  return found;
}

const isText = (value: unknown): boolean =>
  typeof value === "string" && value.length > 0 && value.length <= 512;
const isCount = (value: unknown): boolean =>
  Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= 65_536;

const TARGET_FIELDS: Readonly<Record<keyof JobTarget, (value: unknown) => boolean>> = {
  peer: isText,
  arch: isText,
  min_memory_mb: isCount,
  attempts: isCount,
  as_node: (value) => typeof value === "boolean",
};

function targetOf(value: unknown): JobTarget {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw usage("target is not an object");
  }
  for (const [name, content] of Object.entries(value)) {
    const isRight = Object.hasOwn(TARGET_FIELDS, name)
      ? TARGET_FIELDS[name as keyof JobTarget]
      : undefined;
    if (isRight === undefined) throw usage(`unknown field "target.${name.slice(0, 40)}"`);
    if (!isRight(content)) throw usage(`target.${name} is not a short text, a count or a flag`);
  }
  return value;
}

function decodeBase64(text: unknown): Uint8Array {
  try {
    if (typeof text === "string") return Uint8Array.fromBase64(text);
  } catch { /* told below */ }
  throw usage("stdin is not base64");
}
