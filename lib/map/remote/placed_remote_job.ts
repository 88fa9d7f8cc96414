/**
 * Converts the job of an item to one for other nodes, and their result back.
 *
 * @module
 */
import { EMPTY_HASH } from "../../core/mod.ts";
import { bytesSource, type RemoteJob, type RemoteResult } from "../../remote/client/mod.ts";
import type { MapOutput, PlacedJob, PlacedResult } from "../placement.ts";

/** Maximum size of the output of a job whose manifest has no limit, in bytes. */
const MAX_OUTPUT_BYTES = 2 ** 30;

/** Sources of modules, which all jobs of a map share: hashing one takes longer than a small job. */
const MODULES = new WeakMap<Uint8Array, Promise<RemoteJob["module"]>>();

/** The job as other nodes receive it. */
export async function remoteJobOf(
  { module, manifest, stdin, inputs }: PlacedJob,
): Promise<RemoteJob> {
  let source = MODULES.get(module);
  if (source === undefined) MODULES.set(module, source = bytesSource(module));
  const sources = await Promise.all(Object.values(inputs).map(bytesSource));
  const distinct = new Map(sources.map((input) => [input.hash, input]));
  distinct.delete(EMPTY_HASH);
  return {
    manifest,
    module: await source,
    stdin: await bytesSource(stdin),
    inputs: [...distinct.values()],
  };
}

/** Maximum size of a job's output, in bytes. */
export function outputLimitOf({ manifest }: PlacedJob): number {
  return manifest.resources.output_bytes ?? MAX_OUTPUT_BYTES;
}

/** Copies the verified output of a result, and describes it. */
export async function copyOutput(
  { receipt, output: source, message, backtrace, attempts }: RemoteResult,
  output: MapOutput,
): Promise<Omit<PlacedResult, "wasQueued">> {
  let receivedBytes = 0;
  for (const stream of ["stdout", "stderr", "files"] as const) {
    for await (const data of source.read(stream)) {
      receivedBytes += data.length;
      if (stream === "files") await output.addFiles(data);
      else await output.add(stream, data);
    }
  }
  const { claim: { status, exit_code: exitCode }, run: { usage } } = receipt;
  return {
    outcome: { status, exitCode, message: message ?? undefined, backtrace },
    receipt,
    cpuTimeMs: usage.cpu_time_ms,
    sentBytes: attempts.at(-1)?.sentBytes ?? 0,
    receivedBytes,
  };
}
