/**
 * Messages of the job protocol: names, sizes and times, the check of each field, and the fields of each message.
 *
 * The client opens with `offer`, which may bring small standard input along, and the node answers `accept` or
 * `reject`. The client sends `chunk`s of what the node does not have, then `begin`. Before it nothing may run, but
 * where the offer says that it may: then a node that lacks nothing begins at once, and its `accept` says so. The
 * node sends `event`s until the job has finished; the client sends `taken`, and the node deletes the job. If it has announced that
 * it `keeps_ms`, the client may then open with the next. After a lost
 * connection the client opens with `attach` and goes on where it was; where it has not heard `accept`, and the job may
 * have begun, it makes the same offer again, which is answered for the same job. `cancel` may come at any time.
 *
 * @module
 */
import { isHash, isJobId, MAX_MANIFEST_BYTES, MAX_RECEIPT_BYTES } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";

/** The protocol's name. */
export const JOB_PROTOCOL = "/plasm/job/1.0.0";

/** Version inside the messages that open a conversation. */
export const JOB_VERSION = "1.0";

/**
 * Content of one chunk, in bytes: what is sent again at most when a connection is cut. Larger chunks
 * lose more, smaller ones cost more frames. With what is around it a chunk fills two of Noise's messages,
 * and two chunks Yamux's first window: a KiB more would leave a third message, and a third frame, nearly empty.
 */
export const CHUNK_BYTES: number = 127 * 1024;

/** Output in one event, in bytes: the store's own pieces are about as large. */
export const EVENT_DATA_BYTES: number = 64 * 1024;

/** Inputs of one job, standard input included; as many as a manifest can name. */
export const MAX_INPUTS = 1025;

/** Standard input up to here goes along with the offer, in bytes: it spares a message, and most jobs have less. */
export const OFFERED_STDIN_BYTES: number = 16 * 1024;

/** How long an offer is good for, in milliseconds. */
export const OFFER_VALID_MS: number = 60_000;

/** How far the clocks of two honest sides may be apart, in milliseconds; as for receipts. */
export const CLOCK_SKEW_MS: number = 5 * 60_000;

/** How often a node says that it is there while nothing happens, in milliseconds. */
export const ALIVE_MS = 10_000;

/**
 * How long a node waits for another offer after a job has ended, in milliseconds: a client with many small jobs
 * makes the next at once, and to open a stream takes both sides longer than to run one.
 */
export const STREAM_REUSE_MS = 10_000;

/** Silence after which a client takes a connection for dead, in milliseconds: three lost signs. */
export const SILENCE_MS: number = 3 * ALIVE_MS + 2_000;

/** Checks one field; `name` is its place, for the error. */
type Check<T> = (value: unknown, name: string) => T;

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
const hash: Check<string> = pattern(isHash, "a hash");

/** A job's id. */
const jobId: Check<string> = pattern(isJobId, "a job id");

/** 32 random bytes in hex: nonces and secrets. */
const token: Check<string> = pattern(
  (value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value),
  "64 hex digits",
);

/** One of some words. */
function oneOf<T extends string>(...words: T[]): Check<T> {
  return (value, name) => {
    if (!words.includes(value as T)) throw wrong(name, words.join(" or "));
    return value as T;
  };
}

/** An integer that is not negative. */
function count(max: number = Number.MAX_SAFE_INTEGER): Check<number> {
  return (value, name) => {
    if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > max) {
      throw wrong(name, `an integer from 0 to ${max}`);
    }
    return value as number;
  };
}

/** Text of some length at most. */
function text(maxLength: number): Check<string> {
  return pattern(
    (value) => typeof value === "string" && value.length <= maxLength,
    `text of at most ${maxLength} characters`,
  );
}

/** Bytes of some length. */
function bytes({ min = 0, max }: { min?: number; max: number }): Check<Uint8Array> {
  return (value, name) => {
    if (!(value instanceof Uint8Array) || value.length < min || value.length > max) {
      throw wrong(name, `${min} to ${max} bytes`);
    }
    return value;
  };
}

/** A value, or null. */
function orNull<T>(check: Check<T>): Check<T | null> {
  return (value, name) => value === null ? null : check(value, name);
}

/** True or false. */
const flag: Check<boolean> = (value, name) => {
  if (typeof value !== "boolean") throw wrong(name, "true or false");
  return value;
};

/** A map whose content another schema checks. */
const document: Check<Record<string, unknown>> = (value, name) => {
  if (
    typeof value !== "object" || value === null || Array.isArray(value) ||
    value instanceof Uint8Array
  ) throw wrong(name, "a map");
  return value as Record<string, unknown>;
};

/** A list of some length at most. */
function list<T>(check: Check<T>, max: number): Check<T[]> {
  return (value, name) => {
    if (!Array.isArray(value) || value.length > max) {
      throw wrong(name, `a list of at most ${max}`);
    }
    return value.map((item, at) => check(item, `${name}[${at}]`));
  };
}

/** The fields of a map: all of them, and no other. */
function map<T extends Record<string, Check<unknown>>>(
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

const blob = map({ hash, size: count() });
const need = list(map({ hash, offset: count() }), MAX_INPUTS + 1);
const version = oneOf(JOB_VERSION);
const type = <T extends string>(name: T): Check<T> => oneOf(name);

/** What proves that a client may speak of a job: it was told these when the job was accepted. */
const ticket = { job_id: jobId, secret: token, node_nonce: token };

/** How each message is checked. */
const CHECKS = {
  offer: map({
    type: type("offer"),
    version,
    manifest: document,
    manifest_hash: hash,
    /** The client's nonce, for the receipt. */
    nonce: token,
    module: blob,
    /** Of no bytes where there is none. */
    stdin: blob,
    /** All of it, where it is small and there is room for it beside the inputs; null otherwise. */
    stdin_data: orNull(bytes({ min: 1, max: OFFERED_STDIN_BYTES })),
    /** Each content once, however many paths it has. */
    inputs: list(blob, MAX_INPUTS),
    /** Whether the job may run without a `begin`, where nothing must be sent. */
    begin: flag,
    /** How long ago it was made first, in milliseconds: 0 unless it is made again. */
    age_ms: count(),
    /** Unix milliseconds. */
    expires_at: count(),
  }),
  accept: map({
    type: type("accept"),
    version,
    ...ticket,
    /** As offered: an answer to another offer is none to this. */
    nonce: token,
    manifest_hash: hash,
    /** What must be sent, and from where on. */
    need,
    /** Whether it may run already: then there is nothing to send, and no `begin`. */
    begun: flag,
    /** Jobs that would start before this one. */
    position: count(),
    /** How long it waits for the client's next opening once the result is taken, in milliseconds; 0: not at all. */
    keeps_ms: count(),
    /** How long the node waits for a transfer that stands still, in milliseconds. */
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
    /** Rises within a job, with gaps; a piece of an event has the id of the one before. */
    id: count(),
    /** Unix milliseconds, by the node's clock. */
    at: count(),
    body: document,
  }),
  alive: map({ type: type("alive") }),
  cancel: map({ type: type("cancel"), version, ...ticket }),
  taken: map({ type: type("taken"), job_id: jobId }),
};

/** What may happen to a job, by its `event` field. */
const BODIES = {
  queued: map({ event: type("queued"), position: count() }),
  started: map({ event: type("started"), attempt: count() }),
  stdout: map({ event: type("stdout"), offset: count(), data: bytes({ max: EVENT_DATA_BYTES }) }),
  stderr: map({ event: type("stderr"), offset: count(), data: bytes({ max: EVENT_DATA_BYTES }) }),
  interrupted: map({ event: type("interrupted"), rerun: flag }),
  finished: map({ event: type("finished"), receipt: document, message: orNull(text(1000)) }),
  failed: map({ event: type("failed"), error: document }),
};

/** The types of messages. */
export type MessageType = keyof typeof CHECKS;

/** A message of a type. */
export type MessageOf<T extends MessageType> = { [K in T]: ReturnType<(typeof CHECKS)[K]> }[T];

/** Any message. */
export type Message = MessageOf<MessageType>;

/** What happened to a job. */
export type EventBody = { [K in keyof typeof BODIES]: ReturnType<(typeof BODIES)[K]> }[
  keyof typeof BODIES
];

/** Content that a job needs. */
export type BlobRef = ReturnType<typeof blob>;

/** What is still to be sent, and from where on. */
export type Need = ReturnType<typeof need>;

/** A hash and a number, in CBOR, with their names. */
export const BLOB_BYTES = 128;
const SMALL_BYTES = 1024;
/** Twice the JSON: CBOR of the same content is smaller. */
const ERROR_BYTES = 16 * 1024;

/** Largest frame of each type, in bytes. */
export const MAX_BYTES: Readonly<Record<MessageType, number>> = {
  // Small standard input takes the room of inputs that are not there.
  offer: MAX_MANIFEST_BYTES + MAX_INPUTS * BLOB_BYTES + SMALL_BYTES,
  accept: (MAX_INPUTS + 1) * BLOB_BYTES + SMALL_BYTES,
  reject: ERROR_BYTES,
  chunk: CHUNK_BYTES + SMALL_BYTES,
  begin: SMALL_BYTES,
  attach: SMALL_BYTES,
  attached: (MAX_INPUTS + 1) * BLOB_BYTES + SMALL_BYTES,
  event: Math.max(MAX_RECEIPT_BYTES, EVENT_DATA_BYTES) + SMALL_BYTES,
  alive: SMALL_BYTES,
  cancel: SMALL_BYTES,
  taken: SMALL_BYTES,
};

/**
 * Checks the form of a decoded message: every field, and no other.
 *
 * @throws {PlasmError} `protocol`, its `details.field` naming what is wrong
 */
export function checkMessage(value: unknown): Message {
  const name = document(value, "message")["type"];
  if (typeof name !== "string" || !Object.hasOwn(CHECKS, name)) {
    throw new PlasmError("protocol", "Cannot read message: its type is not known", {
      details: { field: "type" },
    });
  }
  return CHECKS[name as MessageType](value, "") as Message;
}

/**
 * Checks the body of an event.
 *
 * @throws {PlasmError} `protocol`
 */
export function checkEventBody(value: Record<string, unknown>): EventBody {
  const name = value["event"];
  if (typeof name !== "string" || !Object.hasOwn(BODIES, name)) {
    throw new PlasmError("protocol", "Cannot read event: it is not known", {
      details: { field: "body.event" },
    });
  }
  return BODIES[name as keyof typeof BODIES](value, "body") as EventBody;
}
