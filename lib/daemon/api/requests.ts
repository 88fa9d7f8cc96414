/**
 * Reads API requests: bodies with limits on size and time, parameters and job submissions.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { collect, deadline } from "../../util/async/mod.ts";
import {
  createManifest,
  isHash,
  isJobId,
  manifestHash,
  parseArch,
  parsePeer,
} from "../../core/mod.ts";
import { BoundedMap } from "../../util/mod.ts";
import type { Submission } from "../jobs/mod.ts";
import { FINAL_STATES, type JobState, type JobTarget } from "../store/mod.ts";

/** Minimum average speed of a body after twice the idle time, in bytes per millisecond (KB/s). */
const MIN_SPEED = 1;

/**
 * Maximum declared length of a body that is read at once into memory of its size, in bytes. As a stream, each read
 * allocates 64 KiB, which triggers a garbage collection every few jobs.
 */
const SMALL_BYTES = 16 * 1024;

/** Maximum size of the body of a request that names something, such as a search, in bytes. */
export const MAX_QUERY_BYTES: number = 64 * 1024;

/** Options of {@linkcode readBody}. */
export interface BodyOptions {
  /** Longest pause between two chunks, in milliseconds. */
  idleMs: number;
}

function slow(received: number, { idleMs }: BodyOptions): PlasmError {
  return new PlasmError(
    "slow-request",
    `Cannot read request: body stalled after ${received} bytes, limit is ${idleMs} ms`,
    { details: { received, idle_ms: idleMs } },
  );
}

/**
 * Yields the chunks of a body as they arrive.
 *
 * @throws {PlasmError} `slow-request` on a long pause or a low average speed; `usage` if the client disconnects
 */
export async function* readBody(
  body: ReadableStream<Uint8Array> | null,
  options: BodyOptions,
): AsyncGenerator<Uint8Array, void, void> {
  if (body === null) return;
  const reader = body.getReader();
  const begin = performance.now();
  let received = 0;
  const error = (): PlasmError => slow(received, options);
  try {
    while (true) {
      const elapsed = performance.now() - begin;
      if (elapsed > options.idleMs * 2 + received / MIN_SPEED) throw error();
      const { value } = await deadline(reader.read(), { ms: options.idleMs, error });
      if (value === undefined) return;
      received += value.length;
      yield value;
    }
  } catch (cause) {
    if (cause instanceof PlasmError) throw cause;
    throw new PlasmError("usage", `Cannot read request: body ended after ${received} bytes`, {
      cause,
    });
  } finally {
    // Not awaited: it may never resolve while the client stalls.
    reader.cancel().catch(() => {});
  }
}

/** Reads a body with a small declared length, which the server enforces. */
async function readSmall(
  request: Request,
  { idleMs, length }: BodyOptions & { length: number },
): Promise<Uint8Array> {
  const error = (): PlasmError =>
    new PlasmError(
      "slow-request",
      `Cannot read request: body of ${length} bytes did not arrive within ${idleMs} ms`,
      { details: { asked: length, idle_ms: idleMs } },
    );
  try {
    return await deadline(request.bytes(), { ms: idleMs, error });
  } catch (cause) {
    if (cause instanceof PlasmError) throw cause;
    throw new PlasmError("usage", `Cannot read request: body ended before its ${length} bytes`, {
      cause,
    });
  }
}

const decoder = new TextDecoder();

/** Media type of a request, without parameters. */
function mediaType(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}

/**
 * Checks the media type of a request.
 *
 * @throws {PlasmError} `unsupported-media`
 */
export function requireType(request: Request, allowed: readonly string[]): void {
  const found = mediaType(request);
  if (allowed.includes(found)) return;
  throw new PlasmError(
    "unsupported-media",
    `Cannot read request: content type is "${found}", must be ${allowed.join(" or ")}`,
    { details: { allowed: [...allowed] } },
  );
}

/**
 * Declared length of a body if the server enforces it, else infinite: Deno 2.7 also accepts a transfer encoding with
 * the declared length, and the body may then be of any length (RFC 9112, section 6.3).
 */
function declaredLength({ headers }: Request): number {
  const text = headers.get("content-length");
  return text !== null && /^\d+$/.test(text) && !headers.has("transfer-encoding")
    ? Number(text)
    : Infinity;
}

/**
 * Reads a JSON body.
 *
 * @throws {PlasmError} `unsupported-media`, `too-large`, `slow-request`; `usage` if it is not JSON
 */
export async function readJsonBody(
  request: Request,
  options: BodyOptions & { maxBytes: number },
): Promise<unknown> {
  requireType(request, ["application/json"]);
  const { maxBytes } = options;
  const tooLarge = (): PlasmError =>
    new PlasmError("too-large", `Cannot read request: body exceeds ${maxBytes} bytes`, {
      details: { allowed: maxBytes },
    });
  const length = declaredLength(request);
  if (length !== Infinity && length > maxBytes) throw tooLarge();
  const bytes = length <= SMALL_BYTES
    ? await readSmall(request, { ...options, length })
    : await collect(readBody(request.body, options), { maxBytes, tooLarge });
  if (bytes === undefined || bytes.length > maxBytes) throw tooLarge();
  const text = decoder.decode(bytes);
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PlasmError("usage", `Cannot read request: not JSON: ${reason}`);
  }
}

const STATES: readonly string[] = ["queued", "running", ...FINAL_STATES];

/** Maximum number of jobs in one page of a list. */
const MAX_PAGE = 1000;

function usage(message: string): PlasmError {
  return new PlasmError("usage", `Cannot read request: ${message}`);
}

/** Parses a hash in a path. */
export function hashParam(text: string): string {
  if (isHash(text)) return text;
  throw usage(`"${text}" is not a hash such as sha256:<64 hex digits>`);
}

/** Parses a job id in a path; an invalid one is reported as an unknown job. */
export function jobParam(text: string): string {
  if (isJobId(text)) return text;
  throw new PlasmError("not-found", `Cannot find job: no job ${text}`);
}

/** Parses an integer in a query. */
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

/** Parses the filter and page of a list of jobs; `before` is a job id. */
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
    ...(submitter === null ? {} : { submitter: storedSubmitter(submitter) }),
    limit,
    ...(before === null ? {} : { before: jobParam(before) }),
  };
}

/** The name under which a submitter's jobs are stored: a client names itself, a peer is named by its id. */
function storedSubmitter(name: string): string {
  return name === "local" || name.includes(":") ? name : `local:${name}`;
}

/** Reads the reference of a module to download. */
export function referenceOf(body: unknown): string {
  const { reference, ...rest } = typeof body === "object" && body !== null
    ? body as Record<string, unknown>
    : {};
  if (typeof reference === "string" && Object.keys(rest).length === 0) return reference;
  throw usage("body is not an object with a reference");
}

const FIELDS: readonly string[] = ["manifest", "nonce", "stdin", "submitter", "target"];

/**
 * Parses a submission over the local API; fields that the manifest omits get their defaults.
 *
 * @throws {PlasmError} `usage`, `bad-manifest`
 */
export async function submissionOf(body: unknown): Promise<Submission> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw usage("body is not an object");
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
    ...await completeManifest(manifest),
    ...(nonce === undefined ? {} : { nonce: nonce as string }),
    ...(stdin === undefined ? {} : { stdin: decodeBase64(stdin) }),
    ...(target === undefined ? {} : { target: targetOf(target) }),
  };
}

/** Maximum number of cached manifests. */
const MAX_CACHED = 64;

/** Maximum length of a cached manifest, in UTF-16 units. */
const MAX_CACHED_LENGTH = 4096;

/** Validated manifests by their JSON: many jobs differ only in stdin. */
const manifestCache = new BoundedMap<string, HashedManifest>(MAX_CACHED);

/** Manifest with its hash. */
type HashedManifest = Required<Pick<Submission, "manifest" | "manifestHash">>;

async function completeManifest(fields: object): Promise<HashedManifest> {
  const text = JSON.stringify(fields);
  const known = manifestCache.get(text);
  if (known !== undefined) return known;
  // Validated against the schema.
  const manifest = createManifest(fields as Parameters<typeof createManifest>[0]);
  const found = { manifest, manifestHash: await manifestHash(manifest) };
  if (text.length <= MAX_CACHED_LENGTH) manifestCache.set(text, found);
  return found;
}

const isText = (value: unknown): boolean =>
  typeof value === "string" && value.length > 0 && value.length <= 512;
const isCount = (value: unknown): boolean =>
  Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= 65_536;

/** Most nodes of a quorum; see MAX_QUORUM_NODES. */
const isQuorumCount = (value: unknown): boolean =>
  Number.isSafeInteger(value) && (value as number) >= 2 && (value as number) <= 16;

const TARGET_FIELDS: Readonly<Record<keyof JobTarget, (value: unknown) => boolean>> = {
  peer: isText,
  arch: isText,
  min_memory_mb: isCount,
  attempts: isCount,
  as_node: (value) => typeof value === "boolean",
  agree: isQuorumCount,
  nodes: isQuorumCount,
  same_network: (value) => typeof value === "boolean",
};

/** Fields of a target that name a quorum, and those of one node that it cannot have. */
const QUORUM_FIELDS = ["nodes", "same_network"] as const;
const SINGLE_NODE_FIELDS = ["peer", "attempts"] as const;

function checkQuorum(target: JobTarget): void {
  const { agree, nodes = agree } = target;
  if (agree === undefined) {
    const given = QUORUM_FIELDS.find((name) => target[name] !== undefined);
    if (given !== undefined) throw usage(`target.${given} needs target.agree`);
    return;
  }
  const single = SINGLE_NODE_FIELDS.find((name) => target[name] !== undefined);
  if (single !== undefined) throw usage(`target.${single} excludes target.agree`);
  if (nodes! < agree) throw usage(`target.nodes is ${nodes}, target.agree is ${agree}`);
}

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
  checkQuorum(value);
  const { arch, peer } = value as JobTarget;
  if (peer !== undefined) parsePeer(peer);
  return arch === undefined ? value : { ...value, arch: parseArch(arch) };
}

function decodeBase64(text: unknown): Uint8Array {
  try {
    if (typeof text === "string") return Uint8Array.fromBase64(text);
  } catch { /* reported below */ }
  throw usage("stdin is not base64");
}
