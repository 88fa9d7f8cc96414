/**
 * A job of our own that an executor runs before any other, so that the first of a tenant meets code
 * that has run before: the shim, the rings, the pipes.
 * @module
 */
import type { Executor } from "./executor.ts";

/** Reads 16 bytes of stdin, writes them to stdout and exits; see the test for its text. */
export const WARM_UP_MODULE: Readonly<Uint8Array> = Uint8Array.fromBase64(
  "AGFzbQEAAAABEANgBH9/f38Bf2ABfwBgAAACZwMWd2FzaV9zbmFwc2hvdF9wcmV2aWV3MQdmZF9yZWFkAAAWd2Fz" +
    "aV9zbmFwc2hvdF9wcmV2aWV3MQhmZF93cml0ZQAAFndhc2lfc25hcHNob3RfcHJldmlldzEJcHJvY19leGl0" +
    "AAEDAgECBQMBAAIHEwIGbWVtb3J5AgAGX3N0YXJ0AAMKLQErAEEAQYAINgIAQQRBEDYCAEEAQQBBAUEIEAAa" +
    "QQFBAEEBQQgQARpBABACCw==",
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
