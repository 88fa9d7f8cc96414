/**
 * Lists the functions of WASI 0.2 that a command may import, with their types.
 * Source: WebAssembly/wasi-io, wasi-clocks, wasi-random, wasi-filesystem and wasi-cli, version 0.2.8.
 *
 * @module
 */

/** Types, by the names that {@linkcode INTERFACES} uses. */
const TYPES: Readonly<Record<string, string>> = {
  $error:
    "enum{access, would-block, already, bad-descriptor, busy, deadlock, quota, exist, file-too-large, " +
    "illegal-byte-sequence, in-progress, interrupted, invalid, io, is-directory, loop, too-many-links, message-size, " +
    "name-too-long, no-device, no-entry, no-lock, insufficient-memory, insufficient-space, not-directory, not-empty, " +
    "not-recoverable, unsupported, no-tty, no-such-device, overflow, not-permitted, pipe, read-only, invalid-seek, " +
    "text-file-busy, cross-device}",
  $type:
    "enum{unknown, block-device, character-device, directory, fifo, symbolic-link, regular-file, socket}",
  $flags:
    "flags{read, write, file-integrity-sync, data-integrity-sync, requested-write-sync, mutate-directory}",
  $path: "flags{symlink-follow}",
  $open: "flags{create, directory, exclusive, truncate}",
  $advice: "enum{normal, sequential, random, will-need, dont-need, no-reuse}",
  $time: "record{seconds: u64, nanoseconds: u32}",
  $new: "variant{no-change, now, timestamp($time)}",
  $stat: "record{type: $type, link-count: u64, size: u64, data-access-timestamp: option<$time>, " +
    "data-modification-timestamp: option<$time>, status-change-timestamp: option<$time>}",
  $entry: "record{type: $type, name: string}",
  $hash: "record{lower: u64, upper: u64}",
  $zone: "record{utc-offset: s32, name: string, in-daylight-saving-time: bool}",
  $stream: "variant{last-operation-failed(own<error>), closed}",
};

/** Functions of each interface. */
const INTERFACES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "wasi:cli/environment": {
    "get-environment": "() -> list<tuple<string, string>>",
    "get-arguments": "() -> list<string>",
    "initial-cwd": "() -> option<string>",
  },
  "wasi:cli/exit": {
    "exit": "(result)",
    "exit-with-code": "(u8)",
  },
  "wasi:cli/stdin": { "get-stdin": "() -> own<input-stream>" },
  "wasi:cli/stdout": { "get-stdout": "() -> own<output-stream>" },
  "wasi:cli/stderr": { "get-stderr": "() -> own<output-stream>" },
  "wasi:cli/terminal-stdin": { "get-terminal-stdin": "() -> option<own<terminal-input>>" },
  "wasi:cli/terminal-stdout": { "get-terminal-stdout": "() -> option<own<terminal-output>>" },
  "wasi:cli/terminal-stderr": { "get-terminal-stderr": "() -> option<own<terminal-output>>" },
  "wasi:io/error": { "[method]error.to-debug-string": "(borrow<error>) -> string" },
  "wasi:io/poll": {
    "[method]pollable.ready": "(borrow<pollable>) -> bool",
    "[method]pollable.block": "(borrow<pollable>)",
    "poll": "(list<borrow<pollable>>) -> list<u32>",
  },
  "wasi:io/streams": {
    "[method]input-stream.read": "(borrow<input-stream>, u64) -> result<list<u8>, $stream>",
    "[method]input-stream.blocking-read":
      "(borrow<input-stream>, u64) -> result<list<u8>, $stream>",
    "[method]input-stream.skip": "(borrow<input-stream>, u64) -> result<u64, $stream>",
    "[method]input-stream.blocking-skip": "(borrow<input-stream>, u64) -> result<u64, $stream>",
    "[method]input-stream.subscribe": "(borrow<input-stream>) -> own<pollable>",
    "[method]output-stream.check-write": "(borrow<output-stream>) -> result<u64, $stream>",
    "[method]output-stream.write": "(borrow<output-stream>, list<u8>) -> result<_, $stream>",
    "[method]output-stream.blocking-write-and-flush":
      "(borrow<output-stream>, list<u8>) -> result<_, $stream>",
    "[method]output-stream.flush": "(borrow<output-stream>) -> result<_, $stream>",
    "[method]output-stream.blocking-flush": "(borrow<output-stream>) -> result<_, $stream>",
    "[method]output-stream.subscribe": "(borrow<output-stream>) -> own<pollable>",
    "[method]output-stream.write-zeroes": "(borrow<output-stream>, u64) -> result<_, $stream>",
    "[method]output-stream.blocking-write-zeroes-and-flush":
      "(borrow<output-stream>, u64) -> result<_, $stream>",
    "[method]output-stream.splice":
      "(borrow<output-stream>, borrow<input-stream>, u64) -> result<u64, $stream>",
    "[method]output-stream.blocking-splice":
      "(borrow<output-stream>, borrow<input-stream>, u64) -> result<u64, $stream>",
  },
  "wasi:clocks/monotonic-clock": {
    "now": "() -> u64",
    "resolution": "() -> u64",
    "subscribe-instant": "(u64) -> own<pollable>",
    "subscribe-duration": "(u64) -> own<pollable>",
  },
  "wasi:clocks/wall-clock": { "now": "() -> $time", "resolution": "() -> $time" },
  "wasi:clocks/timezone": { "display": "($time) -> $zone", "utc-offset": "($time) -> s32" },
  "wasi:random/random": {
    "get-random-bytes": "(u64) -> list<u8>",
    "get-random-u64": "() -> u64",
  },
  "wasi:random/insecure": {
    "get-insecure-random-bytes": "(u64) -> list<u8>",
    "get-insecure-random-u64": "() -> u64",
  },
  "wasi:random/insecure-seed": { "insecure-seed": "() -> tuple<u64, u64>" },
  "wasi:filesystem/preopens": {
    "get-directories": "() -> list<tuple<own<descriptor>, string>>",
  },
  "wasi:filesystem/types": {
    "[method]descriptor.read-via-stream":
      "(borrow<descriptor>, u64) -> result<own<input-stream>, $error>",
    "[method]descriptor.write-via-stream":
      "(borrow<descriptor>, u64) -> result<own<output-stream>, $error>",
    "[method]descriptor.append-via-stream":
      "(borrow<descriptor>) -> result<own<output-stream>, $error>",
    "[method]descriptor.advise": "(borrow<descriptor>, u64, u64, $advice) -> result<_, $error>",
    "[method]descriptor.sync-data": "(borrow<descriptor>) -> result<_, $error>",
    "[method]descriptor.get-flags": "(borrow<descriptor>) -> result<$flags, $error>",
    "[method]descriptor.get-type": "(borrow<descriptor>) -> result<$type, $error>",
    "[method]descriptor.set-size": "(borrow<descriptor>, u64) -> result<_, $error>",
    "[method]descriptor.set-times": "(borrow<descriptor>, $new, $new) -> result<_, $error>",
    "[method]descriptor.read":
      "(borrow<descriptor>, u64, u64) -> result<tuple<list<u8>, bool>, $error>",
    "[method]descriptor.write": "(borrow<descriptor>, list<u8>, u64) -> result<u64, $error>",
    "[method]descriptor.read-directory":
      "(borrow<descriptor>) -> result<own<directory-entry-stream>, $error>",
    "[method]descriptor.sync": "(borrow<descriptor>) -> result<_, $error>",
    "[method]descriptor.create-directory-at": "(borrow<descriptor>, string) -> result<_, $error>",
    "[method]descriptor.stat": "(borrow<descriptor>) -> result<$stat, $error>",
    "[method]descriptor.stat-at": "(borrow<descriptor>, $path, string) -> result<$stat, $error>",
    "[method]descriptor.set-times-at":
      "(borrow<descriptor>, $path, string, $new, $new) -> result<_, $error>",
    "[method]descriptor.link-at":
      "(borrow<descriptor>, $path, string, borrow<descriptor>, string) -> result<_, $error>",
    "[method]descriptor.open-at":
      "(borrow<descriptor>, $path, string, $open, $flags) -> result<own<descriptor>, $error>",
    "[method]descriptor.readlink-at": "(borrow<descriptor>, string) -> result<string, $error>",
    "[method]descriptor.remove-directory-at": "(borrow<descriptor>, string) -> result<_, $error>",
    "[method]descriptor.rename-at":
      "(borrow<descriptor>, string, borrow<descriptor>, string) -> result<_, $error>",
    "[method]descriptor.symlink-at": "(borrow<descriptor>, string, string) -> result<_, $error>",
    "[method]descriptor.unlink-file-at": "(borrow<descriptor>, string) -> result<_, $error>",
    "[method]descriptor.is-same-object": "(borrow<descriptor>, borrow<descriptor>) -> bool",
    "[method]descriptor.metadata-hash": "(borrow<descriptor>) -> result<$hash, $error>",
    "[method]descriptor.metadata-hash-at":
      "(borrow<descriptor>, $path, string) -> result<$hash, $error>",
    "[method]directory-entry-stream.read-directory-entry":
      "(borrow<directory-entry-stream>) -> result<option<$entry>, $error>",
    "filesystem-error-code": "(borrow<error>) -> option<$error>",
  },
};

/** Resources that the functions use, by interface. */
const RESOURCES: ReadonlySet<string> = new Set([
  "wasi:cli/terminal-input.terminal-input",
  "wasi:cli/terminal-output.terminal-output",
  "wasi:io/error.error",
  "wasi:io/poll.pollable",
  "wasi:io/streams.input-stream",
  "wasi:io/streams.output-stream",
  "wasi:filesystem/types.descriptor",
  "wasi:filesystem/types.directory-entry-stream",
]);

/** Packages whose functions can be imported, but only deny what they are asked for. */
const DENIED = /^wasi:(?:sockets|http)\//;

/** Name of an interface of WASI 0.2 without its version; undefined if the name is another. */
export function wasiInterface(name: string): string | undefined {
  return /^(wasi:[a-z-]+\/[a-z-]+)@0\.2\.\d+$/.exec(name)?.[1];
}

/** Name of a host resource: short if WASI defines it. */
export function resourceText(interfaceName: string, name: string): string {
  const full = `${interfaceName}.${name}`;
  return RESOURCES.has(full) ? name : full;
}

/** Whether functions of an interface without a version are accepted, and denied when they are called. */
export function isDenied(interfaceName: string): boolean {
  return DENIED.test(interfaceName);
}

/** Type of a function; undefined if WASI 0.2 does not define it. */
export function wasiFunctionType(interfaceName: string, name: string): string | undefined {
  if (!Object.hasOwn(INTERFACES, interfaceName)) return undefined;
  const functions = INTERFACES[interfaceName]!;
  return Object.hasOwn(functions, name) ? expand(functions[name]!) : undefined;
}

/** All functions as pairs of interface and name. */
export function wasiFunctions(): [interfaceName: string, name: string][] {
  return Object.entries(INTERFACES).flatMap(([interfaceName, functions]) =>
    Object.keys(functions).map((name): [string, string] => [interfaceName, name])
  );
}

function expand(text: string): string {
  return text.replace(/\$[a-z]+/g, (name) => expand(TYPES[name]!));
}
