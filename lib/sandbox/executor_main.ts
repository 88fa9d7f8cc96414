/**
 * The executor process: takes jobs over stdin, runs each in its one worker, watches what it uses
 * and answers over stdout. It ends itself when a job must be stopped: a busy worker can be stopped
 * in no other way (denoland/deno#35657).
 * @module
 */
import { PlasmError } from "../errors.ts";
import { type ExecutorLink, type LinkFrame, openLink } from "./executor_link.ts";
import { encodeFrame, encodeJsonFrame, type Frame, FrameKind } from "./frames.ts";
import {
  type FinishedReport,
  type JobHeader,
  MAX_JOB_HEADER_BYTES,
  MAX_STREAM_BYTES,
  STOPPING_MARK,
} from "./executor_protocol.ts";
import { type CompiledModule, compileModule, originalReason } from "./compile_module.ts";
import { ExecutorWorker } from "./executor_worker.ts";
import { type GuestWorker, startGuestWorker } from "./guest_worker.ts";
import { JobMonitor } from "./job_monitor.ts";
import type { SandboxInput } from "./types.ts";
import type { WorkerEnd } from "./worker.ts";

/** A frame of module or input may be this large at most; the parent applies the job's own limit. */
const MAX_BLOB_BYTES = 2 ** 31 - 1;

const MAX_BYTES: Record<number, number> = {
  [FrameKind.Job]: MAX_JOB_HEADER_BYTES,
  [FrameKind.Module]: MAX_BLOB_BYTES,
  [FrameKind.Input]: MAX_BLOB_BYTES,
  [FrameKind.Stdin]: MAX_STREAM_BYTES,
  [FrameKind.StdinEnd]: 0,
};

/** Bytes of one read of input that no guest will read. */
const UNREAD_BYTES = 4096;

/** Compiled modules that the parent wants kept for further jobs. */
const kept = new Map<string, CompiledModule>();

/** Cancels the job that runs. Without one the process ends, as SIGTERM would have it. */
let onTerm: () => void = () => Deno.exit(EXIT_TERMINATED);

/** 128 and the number of SIGTERM, as a shell would say. */
const EXIT_TERMINATED = 143;

/** What joins this process to its parent. */
let link: ExecutorLink;

/** Runs the executor until its parent is gone; never returns normally. */
export async function runExecutor(guest: GuestWorker = startGuestWorker()): Promise<never> {
  const worker = new ExecutorWorker(guest);
  Deno.addSignalListener("SIGTERM", () => onTerm());
  // Compiled, the first argument is the subcommand.
  link = await openLink({
    socket: Deno.args[Deno.build.standalone ? 1 : 0],
    maxBytes: (kind) => MAX_BYTES[kind],
    streamed: FrameKind.Stdin,
  });
  await worker.ready;
  await dropPermissions();
  await writeAll(encodeFrame(FrameKind.Ready));
  while (true) {
    await runOne(await nextFrame(), worker);
  }
}

/** Gives up every permission: once the worker has been loaded nothing needs the host any more. */
export async function dropPermissions(): Promise<void> {
  const names = ["read", "write", "net", "env", "sys", "run", "ffi", "import"] as const;
  for (const name of names) {
    // `import` is not in the type of every version's descriptor, but known to each.
    await Deno.permissions.revoke({ name } as Deno.PermissionDescriptor);
  }
}

async function runOne(
  first: Frame,
  worker: ExecutorWorker,
): Promise<void> {
  const header = parseJob(first);
  for (const key of header.module.forget) kept.delete(key);
  const monitor = new JobMonitor(header.limits);
  const cancelled = Promise.withResolvers<void>();
  const onIdleTerm = onTerm;
  onTerm = cancelled.resolve;
  try {
    const stopped = Promise.race([
      monitor.exceeded,
      cancelled.promise.then(() => ({
        status: "cancelled" as const,
        message: "Job stopped: it was cancelled",
      })),
    ]).then((stop) => stopHard(stop, worker, monitor));
    const compiled = kept.get(header.module.key ?? "");
    const moduleBytes = compiled ? undefined : await expectFrame(FrameKind.Module);
    monitor.moduleBytes = header.module.bytes;
    const inputs: SandboxInput[] = [];
    for (const { path, file } of header.inputs) {
      inputs.push(file ? { path, data: await expectFrame(FrameKind.Input) } : { path });
    }
    monitor.report = (usage) => writeAll(encodeJsonFrame(FrameKind.Usage, usage));
    const module = compiled ?? await compileModule(moduleBytes as Uint8Array<ArrayBuffer>);
    if ("module" in module) {
      if (header.module.key !== null) kept.set(header.module.key, module);
      const pump = pumpStdin(worker);
      const { end, memoryPeakBytes } = await Promise.race([
        worker.run({ ...header, module: module.module, inputs }, writeAll),
        stopped,
      ]);
      monitor.stop();
      await writeEnd(originalEnd(end, module), {
        cpuTimeMs: monitor.cpuTimeMs(),
        memoryPeakBytes,
        outputBytes: header.limits.outputBytes,
      });
      worker.discardStdin();
      await pump;
      worker.resetStdin();
    } else {
      monitor.stop();
      await writeAll(encodeJsonFrame(FrameKind.Refused, module));
      await pumpStdin(undefined);
    }
  } finally {
    monitor.stop();
    onTerm = onIdleTerm;
  }
}

/** Sends what the guest wrote so far and how it was stopped, then ends the process and so the guest. */
async function stopHard(
  stop: { status: FinishedReport["status"]; message: string },
  worker: ExecutorWorker,
  monitor: JobMonitor,
): Promise<never> {
  const cpuTimeMs = monitor.cpuTimeMs();
  const memoryPeakBytes = monitor.rssGrowthBytes();
  Deno.stderr.writeSync(new TextEncoder().encode(`${STOPPING_MARK}\n`));
  await worker.drain(writeAll);
  await writeAll(encodeJsonFrame(
    FrameKind.Finished,
    {
      status: stop.status,
      exitCode: null,
      message: stop.message,
      cpuTimeMs,
      memoryPeakBytes,
      reusable: false,
    } satisfies FinishedReport,
  ));
  Deno.exit(0);
}

async function writeEnd(
  end: WorkerEnd,
  figures: { cpuTimeMs: number; memoryPeakBytes: number; outputBytes: number },
): Promise<void> {
  if (end.type === "refused") {
    const { code, reason: message } = end;
    return await writeAll(encodeJsonFrame(FrameKind.Refused, { code, message }));
  }
  const { cpuTimeMs, memoryPeakBytes, outputBytes } = figures;
  const message = describeEnd(end, outputBytes);
  await writeAll(encodeJsonFrame(
    FrameKind.Finished,
    {
      status: end.type,
      exitCode: end.type === "exited" ? end.exitCode : null,
      ...(message === undefined ? {} : { message }),
      cpuTimeMs,
      memoryPeakBytes,
      reusable: true,
    } satisfies FinishedReport,
  ));
}

/** The end, with the place of a trap as it is in the module that was given. */
function originalEnd(end: WorkerEnd, { frames }: CompiledModule): WorkerEnd {
  return end.type === "trapped" ? { ...end, reason: originalReason(end.reason, frames) } : end;
}

function describeEnd(
  end: Exclude<WorkerEnd, { type: "refused" }>,
  outputBytes: number,
): string | undefined {
  switch (end.type) {
    case "exited":
      return undefined;
    case "trapped":
      return `Job trapped: ${end.reason}`;
    case "memory":
      return `Job stopped: memory could not be had: ${end.reason}`;
    case "output":
      return `Job stopped: it wrote more than its ${outputBytes} bytes of output`;
  }
}

/** The next frame. Without a parent there is nothing to live for. */
async function nextFrame(): Promise<LinkFrame> {
  return await link.next() ?? Deno.exit(0);
}

/** Takes standard input to its end: to the worker, while that has a guest that may read it. */
async function pumpStdin(worker: ExecutorWorker | undefined): Promise<void> {
  const unread = new Uint8Array(UNREAD_BYTES);
  while (true) {
    const { kind, streamedBytes } = await nextFrame();
    if (kind === FrameKind.StdinEnd) return worker?.endStdin();
    if (kind !== FrameKind.Stdin) throw unexpected(kind);
    for (let left = streamedBytes; left > 0;) {
      const into = await worker?.roomForStdin() ?? unread;
      const count = await link.readPayload(into.subarray(0, left));
      if (count === null) Deno.exit(0);
      if (into !== unread) worker?.commitStdin(count);
      left -= count;
    }
  }
}

async function expectFrame(kind: number): Promise<Uint8Array> {
  const frame = await nextFrame();
  if (frame.kind !== kind) throw unexpected(frame.kind);
  return frame.payload;
}

function parseJob(frame: Frame): JobHeader {
  if (frame.kind !== FrameKind.Job) throw unexpected(frame.kind);
  return JSON.parse(new TextDecoder().decode(frame.payload));
}

function unexpected(kind: number): PlasmError {
  return new PlasmError("executor", `Cannot take frame here: kind ${kind}`);
}

function writeAll(bytes: Uint8Array): Promise<void> {
  return link.write(bytes);
}

if (import.meta.main) await runExecutor();
