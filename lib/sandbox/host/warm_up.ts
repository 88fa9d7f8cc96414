/**
 * A job of our own that an executor runs before any other, so that the first of a tenant meets code
 * that has run before: the shim, the rings, the pipes.
 * @module
 */
import type { Executor } from "./executor.ts";

/**
 * Reads 16 bytes of stdin, writes them to stdout and exits; see the test for its text. Its other functions are
 * of each kind that is walked before a module is compiled: the code that does so is then warm too.
 */
export const WARM_UP_MODULE: Readonly<Uint8Array> = Uint8Array.fromBase64(
  "AGFzbQEAAAABFQRgAX8Bf2AEf39/fwF/YAF/AGAAAAJnAxZ3YXNpX3NuYXBzaG90X3ByZXZpZXcxB2ZkX3JlYWQA" +
    "ARZ3YXNpX3NuYXBzaG90X3ByZXZpZXcxCGZkX3dyaXRlAAEWd2FzaV9zbmFwc2hvdF9wcmV2aWV3MQlwcm9jX2V4" +
    "aXQAAgMFBAAAAwMEBQFwAQICBQMBAAIGBgF/AUEACwcTAgZtZW1vcnkCAAZfc3RhcnQABgkIAQBBAAsCAwQKtgEE" +
    "IwEBfgJAA0AgAEUNASABIACtfCEBIABBAWshAAwACwsgAacLQgACQAJAAkAgAA4CAgEAC0QAAAAAAAD4P/wCDwtB" +
    "Bw8LQcAAQQBBEPwLAEMAAAAAQwAAgD9dBH9BwAAtAAAFPwALCxAAQQBAABpBAUECIwAbJAALPAAQBRAFQQQQAxpB" +
    "AkEBEQAAGkEAQYAINgIAQQRBEDYCAEEAQQBBAUEIEAAaQQFBAEEBQQgQARpBABACCwsLAQBBgAELBHdhcm0=",
);

const MIB = 2 ** 20;

/** How often it is run: after this many the next takes as long as the hundredth. */
const ROUNDS = 12;

/** Runs the job, several times. Rejects as {@linkcode Executor.run} does. */
export async function warmUp(executor: Executor): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) await runOnce(executor);
}

async function runOnce(executor: Executor): Promise<void> {
  const events = executor.run({
    module: WARM_UP_MODULE,
    args: [],
    env: {},
    stdin: new Uint8Array(16),
    isWarmUp: true,
    limits: {
      memoryBytes: MIB,
      wallTimeMs: 60_000,
      cpuTimeMs: 60_000,
      outputBytes: MIB,
      fsBytes: MIB,
      fsInodes: 100,
      openFds: 100,
      moduleBytes: MIB,
    },
  });
  for await (const _ of events);
}
