/**
 * Implements wasi:cli, wasi:clocks and wasi:random.
 *
 * @module
 */
import {
  AbiError,
  type ComponentValue,
  type HostFunction,
} from "../../wasm/component/runtime/mod.ts";
import { CLOCK, CLOCK_RESOLUTION_NS } from "../clock.ts";
import type { JobSystem, WasiOptions } from "../job_system.ts";
import { hostStream, type Pollable, stdinStream } from "./streams.ts";
import { datetime, NONE, resource } from "./wit_values.ts";

/** Options of {@linkcode commandFunctions}. */
export interface CommandOptions extends Pick<WasiOptions, "args" | "env"> {
  /** Ends the guest. */
  exit: (code: number) => never;
}

/** Most random bytes of one call. */
const MAX_RANDOM_BYTES = 2 ** 26;

/** Returns the functions of wasi:cli, wasi:clocks and wasi:random. */
export function commandFunctions(
  system: JobSystem,
  { args, env, exit }: CommandOptions,
): Record<string, HostFunction> {
  const none: HostFunction = () => NONE;
  return {
    // Sorted as RFC 8785 does, so that the order follows from the manifest's hash.
    "wasi:cli/environment#get-environment": () =>
      Object.keys(env).sort().map((name) => [name, env[name]!]),
    "wasi:cli/environment#get-arguments": () => [...args],
    "wasi:cli/environment#initial-cwd": none,
    "wasi:cli/exit#exit": (status) => exit((status as { tag: number }).tag),
    "wasi:cli/exit#exit-with-code": (code) => exit(code as number),
    "wasi:cli/stdin#get-stdin": () => resource(stdinStream(system)),
    "wasi:cli/stdout#get-stdout": () => resource(hostStream(system, "stdout")),
    "wasi:cli/stderr#get-stderr": () => resource(hostStream(system, "stderr")),
    "wasi:cli/terminal-stdin#get-terminal-stdin": none,
    "wasi:cli/terminal-stdout#get-terminal-stdout": none,
    "wasi:cli/terminal-stderr#get-terminal-stderr": none,
    ...clockFunctions(system),
    ...randomFunctions(system),
  };
}

function clockFunctions({ clocks, use }: JobSystem): Record<string, HostFunction> {
  const read = (clock: number): bigint => {
    use("clock");
    return clocks.read(clock)!;
  };
  const pollable = (when: ComponentValue, isAbsolute: boolean): ComponentValue => {
    const timeoutNs = when as bigint;
    const deadline = clocks.deadline({ clock: CLOCK.MONOTONIC, timeoutNs, isAbsolute });
    return resource({ deadline, isReady: () => clocks.isReached(deadline) } satisfies Pollable);
  };
  const resolution = BigInt(CLOCK_RESOLUTION_NS);
  return {
    "wasi:clocks/monotonic-clock#now": () => read(CLOCK.MONOTONIC),
    "wasi:clocks/monotonic-clock#resolution": () => resolution,
    "wasi:clocks/monotonic-clock#subscribe-instant": (when) => pollable(when, true),
    "wasi:clocks/monotonic-clock#subscribe-duration": (duration) => pollable(duration, false),
    "wasi:clocks/wall-clock#now": () => datetime(read(CLOCK.REALTIME)),
    "wasi:clocks/wall-clock#resolution": () => datetime(resolution),
    "wasi:clocks/timezone#display": () => [0, "UTC", false],
    "wasi:clocks/timezone#utc-offset": () => 0,
  };
}

function randomFunctions({ random, use }: JobSystem): Record<string, HostFunction> {
  const bytes = (length: number): Uint8Array => {
    use("random");
    const filled = new Uint8Array(length);
    random.fill(filled);
    return filled;
  };
  const many: HostFunction = (length) => {
    const count = length as bigint;
    if (count > MAX_RANDOM_BYTES) {
      throw new AbiError(`it asks for ${count} random bytes at once, limit ${MAX_RANDOM_BYTES}`);
    }
    return bytes(Number(count));
  };
  const u64 = (): bigint => new DataView(bytes(8).buffer).getBigUint64(0, true);
  return {
    "wasi:random/random#get-random-bytes": many,
    "wasi:random/random#get-random-u64": u64,
    "wasi:random/insecure#get-insecure-random-bytes": many,
    "wasi:random/insecure#get-insecure-random-u64": u64,
    "wasi:random/insecure-seed#insecure-seed": () => [u64(), u64()],
  };
}
