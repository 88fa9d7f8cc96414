/**
 * Messages of the job protocol: constants, size caps, field checks and the checks of an offer (docs/protocol.md).
 *
 * @module
 */
import {
  checkManifest,
  EMPTY_HASH,
  isHash,
  isJobId,
  type Manifest,
  manifestHash,
  MAX_MANIFEST_BYTES,
  MAX_RECEIPT_BYTES,
  MAX_STACK_FRAMES,
} from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";

/** Name of the protocol. */
export const JOB_PROTOCOL = "/plasm/job/1.0.0";

/** Version of manifests and receipts, in the messages that open a session. */
export const DOCUMENT_VERSION = "0.2";

/**
 * Content of one chunk, in bytes: the most that is sent again after a lost connection. With its envelope a chunk
 * fills two Noise messages, and two chunks fill Yamux's initial window; one KiB more would add a nearly empty
 * message and frame.
 */
export const CHUNK_BYTES: number = 127 * 1024;

/** Output in one event, in bytes: about the size of the store's own pieces. */
export const EVENT_DATA_BYTES: number = 64 * 1024;

/** Inputs of one job, standard input included: as many as a manifest can name. */
export const MAX_INPUTS = 16_385;

/** Largest standard input that an offer carries, in bytes. It saves a message, and most jobs have less. */
export const OFFERED_STDIN_BYTES: number = 16 * 1024;

/** How long an offer is valid, in milliseconds. */
export const OFFER_VALID_MS: number = 60_000;

/** Tolerated difference between the clocks of both sides, in milliseconds; the same as for receipts. */
export const CLOCK_SKEW_MS: number = 5 * 60_000;

/** Interval of keep-alive messages during a transfer and while a job has no events, in milliseconds. */
export const ALIVE_MS = 2_500;

/** How long a node waits for the next request on a stream after a job, in milliseconds. */
export const STREAM_REUSE_MS = 10_000;

/** Silence after which a client treats a connection as lost, in milliseconds: three missed keep-alives. */
export const SILENCE_MS: number = 3 * ALIVE_MS + 1_500;

/** Validates one field; `name` is its path, for the error. */
type Check<T> = (value: unknown, name: string) => T;

function invalid(name: string, expected: string): PlasmError {
  return new PlasmError("protocol", `Cannot read message: ${name} is not ${expected}`, {
    details: { field: name },
  });
}

/** A string that satisfies a predicate. */
function pattern(isValid: (value: unknown) => boolean, expected: string): Check<string> {
  return (value, name) => {
    if (!isValid(value)) throw invalid(name, expected);
    return value as string;
  };
}

/** "sha256:" and 64 hex digits. */
const hash: Check<string> = pattern(isHash, "a hash");

/** Job id. */
const jobId: Check<string> = pattern(isJobId, "a job id");

/** 32 random bytes in hex: nonces and secrets. */
const token: Check<string> = pattern(
  (value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value),
  "64 hex digits",
);

/** One of several words. */
function oneOf<T extends string>(...words: T[]): Check<T> {
  return (value, name) => {
    if (!words.includes(value as T)) throw invalid(name, words.join(" or "));
    return value as T;
  };
}

/** Non-negative integer. */
function count(max: number = Number.MAX_SAFE_INTEGER): Check<number> {
  return (value, name) => {
    if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > max) {
      throw invalid(name, `an integer from 0 to ${max}`);
    }
    return value as number;
  };
}

/** Text with a maximum length. */
function text(maxLength: number): Check<string> {
  return pattern(
    (value) => typeof value === "string" && value.length <= maxLength,
    `text of at most ${maxLength} characters`,
  );
}

/** Bytes with a minimum and maximum length. */
function bytes({ min = 0, max }: { min?: number; max: number }): Check<Uint8Array> {
  return (value, name) => {
    if (!(value instanceof Uint8Array) || value.length < min || value.length > max) {
      throw invalid(name, `${min} to ${max} bytes`);
    }
    return value;
  };
}

/** A value or null. */
function orNull<T>(check: Check<T>): Check<T | null> {
  return (value, name) => value === null ? null : check(value, name);
}

/** Boolean. */
const flag: Check<boolean> = (value, name) => {
  if (typeof value !== "boolean") throw invalid(name, "true or false");
  return value;
};

/** A map whose fields another schema validates. */
const document: Check<Record<string, unknown>> = (value, name) => {
  if (
    typeof value !== "object" || value === null || Array.isArray(value) ||
    value instanceof Uint8Array
  ) throw invalid(name, "a map");
  return value as Record<string, unknown>;
};

/** A list with a maximum length. */
function list<T>(check: Check<T>, max: number): Check<T[]> {
  return (value, name) => {
    if (!Array.isArray(value) || value.length > max) {
      throw invalid(name, `a list of at most ${max}`);
    }
    return value.map((item, at) => check(item, `${name}[${at}]`));
  };
}

/** A map with exactly these fields. */
function map<T extends Record<string, Check<unknown>>>(
  checks: T,
): Check<{ [K in keyof T]: ReturnType<T[K]> }> {
  const names = Object.keys(checks);
  return (value, name) => {
    const record = document(value, name || "message");
    const path = (key: string): string => name === "" ? key : `${name}.${key}`;
    for (const key of Object.keys(record)) {
      if (!Object.hasOwn(checks, key)) throw invalid(path(key.slice(0, 40)), "known");
    }
    const read = {} as Record<string, unknown>;
    for (const key of names) {
      if (!Object.hasOwn(record, key)) throw invalid(path(key), "present");
      read[key] = checks[key]!(record[key], path(key));
    }
    return read as { [K in keyof T]: ReturnType<T[K]> };
  };
}

const blob = map({ hash, size: count() });
const need = list(map({ hash, offset: count() }), MAX_INPUTS + 1);

/** Cause of an error that the peer stated, or that follows from its statement: the peer is not at fault for it. */
export class Stated extends Error {
  override readonly name = "Stated";
}

/** The version of this node; another one is refused before anything that depends on it is read. */
const version: Check<typeof DOCUMENT_VERSION> = (value, name) => {
  if (value === DOCUMENT_VERSION) return value;
  const found = typeof value === "string" && /^[0-9.]{1,20}$/.test(value) ? value : "another one";
  throw new PlasmError(
    "protocol",
    `Cannot exchange jobs: the peer has documents of version ${found}, this node ${DOCUMENT_VERSION}`,
    {
      hint: "Run the same version of plasm on both nodes",
      details: { field: name, found, known: DOCUMENT_VERSION },
      cause: new Stated(`The peer states version ${found}`),
    },
  );
};

const type = <T extends string>(name: T): Check<T> => oneOf(name);

/** Authorizes a client to control a job; `accept` returns it. */
const ticket = { job_id: jobId, secret: token, node_nonce: token };

/** Field checks of each message. */
const CHECKS = {
  offer: map({
    type: type("offer"),
    version,
    manifest: document,
    manifest_hash: hash,
    /** The client's nonce, for the receipt. */
    nonce: token,
    module: blob,
    /** Size 0 if there is none. */
    stdin: blob,
    /** All of standard input if it is small and fits together with the inputs, otherwise null. */
    stdin_data: orNull(bytes({ min: 1, max: OFFERED_STDIN_BYTES })),
    /** Each distinct content once. */
    inputs: list(blob, MAX_INPUTS),
    /** Whether the node may start the job without `begin` if it lacks nothing. */
    begin: flag,
    /** Time since the offer was first sent, in milliseconds; 0 the first time. */
    age_ms: count(),
    /** Unix milliseconds. */
    expires_at: count(),
  }),
  accept: map({
    type: type("accept"),
    version,
    ...ticket,
    /** As in the offer: the client rejects the answer to another offer. */
    nonce: token,
    manifest_hash: hash,
    /** Content to send, with the offset to start at. */
    need,
    /** Whether the job was started: `need` is then empty and no `begin` follows. */
    begun: flag,
    /** Jobs that start earlier. */
    position: count(),
    /** How long the node waits for the next request after `taken`, in milliseconds; 0 if it does not. */
    keeps_ms: count(),
    /** Longest pause of a transfer, in milliseconds. */
    expires_in_ms: count(),
  }),
  reject: map({ type: type("reject"), error: document }),
  chunk: map({
    type: type("chunk"),
    hash,
    offset: count(),
    data: bytes({ min: 1, max: CHUNK_BYTES }),
    /** CRC-32 of the data. */
    checksum: count(2 ** 32 - 1),
  }),
  begin: map({ type: type("begin"), job_id: jobId, node_nonce: token }),
  attach: map({ type: type("attach"), version, ...ticket, after: count() }),
  attached: map({
    type: type("attached"),
    job_id: jobId,
    nonce: token,
    state: oneOf("transfer", "begun"),
    need,
  }),
  event: map({
    type: type("event"),
    /** Never falls within a job; all parts of a split event but the last have the id of the event before it. */
    id: count(),
    /** Unix milliseconds of the node's clock. */
    at: count(),
    body: document,
  }),
  alive: map({ type: type("alive") }),
  cancel: map({ type: type("cancel"), version, ...ticket }),
  taken: map({ type: type("taken"), job_id: jobId }),
};

/** Field checks of each event, by its `event` field. */
const BODIES = {
  queued: map({ event: type("queued"), position: count() }),
  started: map({ event: type("started"), attempt: count() }),
  stdout: map({ event: type("stdout"), offset: count(), data: bytes({ max: EVENT_DATA_BYTES }) }),
  stderr: map({ event: type("stderr"), offset: count(), data: bytes({ max: EVENT_DATA_BYTES }) }),
  files: map({ event: type("files"), offset: count(), data: bytes({ max: EVENT_DATA_BYTES }) }),
  interrupted: map({ event: type("interrupted"), rerun: flag }),
  finished: map({
    event: type("finished"),
    receipt: document,
    message: orNull(text(1000)),
    /** Offsets in the module of the innermost calls of a job that trapped, the innermost first. */
    stack: list(count(2 ** 32 - 1), MAX_STACK_FRAMES),
    /** Files that the job created and did not return. */
    left_behind: orNull(map({
      entries: list(
        map({ path: text(1024), bytes: count(), kind: oneOf("file", "directory", "link") }),
        32,
      ),
      /** Number of further entries. */
      more: count(),
    })),
  }),
  failed: map({ event: type("failed"), error: document }),
};

/** Types of messages. */
export type MessageType = keyof typeof CHECKS;

/** Message of a type. */
export type MessageOf<T extends MessageType> = { [K in T]: ReturnType<(typeof CHECKS)[K]> }[T];

/** Any message. */
export type Message = MessageOf<MessageType>;

/** Body of an `event` message. */
export type EventBody = { [K in keyof typeof BODIES]: ReturnType<(typeof BODIES)[K]> }[
  keyof typeof BODIES
];

/** Hash and size of content. */
export type BlobRef = ReturnType<typeof blob>;

/** Content to send, with the offset to start at. */
export type Need = ReturnType<typeof need>;

/** Encoded size of a hash and a number with their keys, in bytes. */
export const BLOB_BYTES = 128;
const SMALL_BYTES = 1024;
/** Encoded size of the files left behind: 32 names of 4,096 characters together. */
const LEFT_BEHIND_BYTES = 16 * 1024;
/** Twice the size of the error as JSON. */
const ERROR_BYTES = 16 * 1024;

/** Largest frame body of each type, in bytes. */
export const MAX_BYTES: Readonly<Record<MessageType, number>> = {
  // Standard input in the offer occupies the space of inputs that it does not have.
  offer: MAX_MANIFEST_BYTES + MAX_INPUTS * BLOB_BYTES + SMALL_BYTES,
  accept: (MAX_INPUTS + 1) * BLOB_BYTES + SMALL_BYTES,
  reject: ERROR_BYTES,
  chunk: CHUNK_BYTES + SMALL_BYTES,
  begin: SMALL_BYTES,
  attach: SMALL_BYTES,
  attached: (MAX_INPUTS + 1) * BLOB_BYTES + SMALL_BYTES,
  event: Math.max(MAX_RECEIPT_BYTES + LEFT_BEHIND_BYTES, EVENT_DATA_BYTES) + SMALL_BYTES,
  alive: SMALL_BYTES,
  cancel: SMALL_BYTES,
  taken: SMALL_BYTES,
};

/**
 * Validates the fields of a decoded message; unknown and missing fields are errors.
 *
 * @throws {PlasmError} `protocol`; `details.field` names the invalid field
 */
export function checkMessage(value: unknown): Message {
  const message = document(value, "message");
  const name = message["type"];
  if (typeof name !== "string" || !Object.hasOwn(CHECKS, name)) {
    throw new PlasmError("protocol", "Cannot read message: unknown type", {
      details: { field: "type" },
    });
  }
  // First, because another version may have other fields.
  if ("version" in message) version(message["version"], "version");
  return CHECKS[name as MessageType](value, "") as Message;
}

/**
 * Validates the body of an event.
 *
 * @throws {PlasmError} `protocol`
 */
export function checkEventBody(value: Record<string, unknown>): EventBody {
  const name = value["event"];
  if (typeof name !== "string" || !Object.hasOwn(BODIES, name)) {
    throw new PlasmError("protocol", "Cannot read event: unknown type", {
      details: { field: "body.event" },
    });
  }
  return BODIES[name as keyof typeof BODIES](value, "body") as EventBody;
}

function mismatch(field: string, reason: string): PlasmError {
  return new PlasmError("protocol", `Cannot accept offer: ${reason}`, { details: { field } });
}

/**
 * Checks that the parts of an offer agree with each other and with the clock.
 *
 * @returns the manifest of the offer
 * @throws {PlasmError} `protocol`, `bad-manifest`
 */
export async function checkOffer(offer: MessageOf<"offer">, now: number): Promise<Manifest> {
  const { expires_at } = offer;
  if (now > expires_at + CLOCK_SKEW_MS) {
    throw mismatch(
      "expires_at",
      `it expired at ${timeText(expires_at)}, the node's clock shows ${timeText(now)}`,
    );
  }
  if (expires_at > now + OFFER_VALID_MS + CLOCK_SKEW_MS) {
    throw mismatch(
      "expires_at",
      `it expires at ${timeText(expires_at)}, more than ${OFFER_VALID_MS} ms from now, ` +
        `the node's clock shows ${timeText(now)}`,
    );
  }
  const manifest = checkManifest(offer.manifest);
  const actual = await manifestHash(manifest);
  if (actual !== offer.manifest_hash) {
    throw mismatch(
      "manifest_hash",
      `manifest_hash is ${offer.manifest_hash}, the manifest hashes to ${actual}`,
    );
  }
  checkBlobs(offer, manifest);
  const { stdin, stdin_data: data } = offer;
  if (data !== null && data.length !== stdin.size) {
    throw mismatch("stdin_data", `stdin has ${stdin.size} bytes, stdin_data ${data.length}`);
  }
  return manifest;
}

function checkBlobs({ module, stdin, inputs }: MessageOf<"offer">, manifest: Manifest): void {
  if (module.hash !== manifest.module_hash) {
    throw mismatch(
      "module.hash",
      `module is ${module.hash}, manifest names ${manifest.module_hash}`,
    );
  }
  const bound = manifest.stdin_hash;
  if (bound !== undefined && bound !== stdin.hash) {
    throw mismatch("stdin.hash", `stdin is ${stdin.hash}, manifest names ${bound}`);
  }
  const named = new Set(Object.values(manifest.inputs ?? {}));
  named.delete(EMPTY_HASH);
  const offered = new Set(inputs.map(({ hash }) => hash));
  if (offered.size !== inputs.length || offered.symmetricDifference(named).size > 0) {
    throw mismatch("inputs", "inputs must list each content that the manifest names exactly once");
  }
  const sizes = new Map<string, number>([[EMPTY_HASH, 0]]);
  for (const { hash, size } of [module, stdin, ...inputs]) {
    const known = sizes.get(hash);
    if ((known !== undefined && known !== size) || (size === 0) !== (hash === EMPTY_HASH)) {
      throw mismatch("size", `${hash} cannot have ${size} bytes`);
    }
    sizes.set(hash, size);
  }
}

/** Fields of an offer that stay the same when it is repeated. */
export type OfferedJob = Omit<MessageOf<"offer">, "stdin_data">;

/** Reports whether one of two checked offers of a peer repeats the other. */
export function isSameOffer(one: OfferedJob, other: OfferedJob): boolean {
  const key = ({ nonce, manifest_hash, module, stdin, inputs, begin }: OfferedJob): string =>
    JSON.stringify([nonce, manifest_hash, begin, ...[module, stdin, ...inputs].map(blobText)]);
  return key(one) === key(other);
}

function blobText({ hash, size }: BlobRef): string {
  return `${hash} ${size}`;
}

/** Distinct non-empty content of an offer, the module first. */
export function contentOf(
  { module, stdin, inputs }: { module: BlobRef; stdin: BlobRef; inputs: readonly BlobRef[] },
): BlobRef[] {
  const refs = new Map<string, BlobRef>();
  for (const ref of [module, stdin, ...inputs]) if (ref.size > 0) refs.set(ref.hash, ref);
  return [...refs.values()];
}

function timeText(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? String(time) : date.toISOString();
}
