/**
 * The executor process: takes jobs over stdin, runs each in its one worker, watches what it uses
 * and answers over stdout. It ends itself when a job must be stopped: a busy worker can be stopped
 * in no other way (denoland/deno#35657).
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { connectToParent, type ParentConnection, type ParentFrame } from "./parent_connection.ts";
import { bootstrapExecutor, type InitialRead } from "../bootstrap/mod.ts";
import {
  encodeIpcFrame,
  encodeIpcJson,
  type FinishedReport,
  type Frame,
  FrameKind,
  type JobHeader,
  MAX_JOB_HEADER_BYTES,
  MAX_STDIN_BYTES,
  type RefusedReport,
  STOPPING_MARK,
} from "../ipc/mod.ts";
import {
  type CompiledModule,
  compileModule,
  loadReorder,
  originalReason,
} from "./compile_module.ts";
import { joinBytes } from "../../util/mod.ts";
import { StdinForwarder } from "./stdin_forwarder.ts";
import { GuestWorkerControl } from "./worker_control.ts";
import { startGuestWorker } from "./guest_worker.ts";
import { type Exceeded, JobMonitor, processCpuMs, residentBytes } from "./job_monitor.ts";
import type { FileInput } from "../job_types.ts";
import type { WorkerEnd } from "../worker/mod.ts";

/** A frame of module or input may be this large at most; the parent applies the job's own limit. */
const MAX_BLOB_BYTES = 2 ** 31 - 1;

const MAX_BYTES: Record<number, number> = {
  [FrameKind.Job]: MAX_JOB_HEADER_BYTES,
  [FrameKind.Module]: MAX_BLOB_BYTES,
  [FrameKind.Reordered]: MAX_BLOB_BYTES,
  [FrameKind.Input]: MAX_BLOB_BYTES,
  [FrameKind.Stdin]: MAX_STDIN_BYTES,
  [FrameKind.StdinEnd]: 0,
};

/**
 * How long this thread waits for the end of a short job, in ms: the worker wakes it without a turn of its event
 * loop. Until then it hears nobody, far shorter than anything is looked at anyway.
 */
const BRIEFLY_MS = 2;

/** The same where the worker has still to load itself: nothing is looked at before that either. */
const BRIEFLY_AT_FIRST_MS = 20;

/**
 * How long the start of the worker, which blocks this thread, is put off for a job that may be there: it can be
 * compiled then, and run as soon as the worker is there. One that was sent before takes 1 ms to be read.
 */
const AHEAD_MS = 5;

const decoder = new TextDecoder();

/** Compiled modules that the parent wants kept for further jobs. */
const kept = new Map<string, CompiledModule>();

/** Cancels the job that runs. Without one the process ends, as SIGTERM would have it. */
let onTerm: () => void = () => Deno.exit(EXIT_TERMINATED);

/** 128 and the number of SIGTERM, as a shell would say. */
const EXIT_TERMINATED = 143;

/** What joins this process to its parent. */
let link: ParentConnection;

/** The module of the first job, where that was there before the worker. */
let ahead: Awaited<ReturnType<typeof compileModule>> | undefined;

/** CPU time that this has cost, which is the first job's. */
let cpuAheadMs = 0;

/** Options of {@linkcode runExecutor}. */
export interface RunExecutorOptions {
  /** Path of the parent's socket. @default {standard input and output} */
  socket?: string | undefined;
  /** Standard input, which is read already. @default {it is not} */
  first?: InitialRead | undefined;
}

/** Runs the executor until its parent is gone; never returns normally. */
export async function runExecutor({ socket, first }: RunExecutorOptions): Promise<never> {
  Deno.addSignalListener("SIGTERM", () => onTerm());
  link = await connectToParent({
    socket,
    first,
    maxBytes: (kind) => MAX_BYTES[kind],
    streamed: FrameKind.Stdin,
  });
  if (first !== undefined) ahead = await compileAhead();
  const worker = new GuestWorkerControl(startGuestWorker());
  // From source modules are read with the permissions of this thread.
  if (ahead === undefined || !Deno.build.standalone) await worker.ready;
  if (!Deno.build.standalone) await loadReorder();
  dropPermissions();
  rssAtReady = rssAtRest = residentBytes();
  const told = writeAll(encodeIpcFrame(FrameKind.Ready));
  if (ahead === undefined) await told;
  while (true) {
    await runOne(await nextFrame(), worker);
  }
}

/** Compiles the module of a job that has come before anybody could wait for it. */
async function compileAhead(): Promise<typeof ahead> {
  await link.awaitFirst(AHEAD_MS);
  const module = link.peek(FrameKind.Module);
  if (module === undefined) return undefined;
  const before = processCpuMs();
  const compiled = await compileModule(module, link.peek(FrameKind.Reordered));
  cpuAheadMs = processCpuMs() - before;
  return compiled;
}

/** Gives up every permission: once the worker has been loaded nothing needs the host any more. */
export function dropPermissions(): void {
  const names = ["read", "write", "net", "env", "sys", "run", "ffi", "import"] as const;
  for (const name of names) {
    // `import` is not in the type of every version's descriptor, but known to each.
    Deno.permissions.revokeSync({ name } as Deno.PermissionDescriptor);
  }
}

/** Resident memory before the first job that is not our own, in bytes. */
let rssAtReady = 0;

/** Resident memory before the next job, in bytes: looked at while nobody waits. */
let rssAtRest = 0;

async function runOne(
  first: Frame,
  worker: GuestWorkerControl,
): Promise<void> {
  const header = parseJob(first);
  const { module: { key, forget, bytes }, isReordered, limits } = header;
  for (const forgotten of forget) kept.delete(forgotten);
  worker.forget(forget);
  const monitor = new JobMonitor(limits, rssAtRest, { cpuBeforeMs: cpuAheadMs });
  cpuAheadMs = 0;
  const stopping = Promise.withResolvers<Exceeded>();
  const onIdleTerm = onTerm;
  onTerm = () =>
    stopping.resolve({ status: "cancelled", message: "Job stopped: it was cancelled" });
  const watch = (): Promise<never> =>
    Promise.race([monitor.watch(), stopping.promise])
      .then((stop) => stopHard(stop, worker, monitor));
  try {
    monitor.report = (usage) => writeAll(encodeIpcJson(FrameKind.Usage, usage));
    monitor.moduleBytes = bytes;
    const compiled = kept.get(key ?? "");
    let stopped = compiled && header.inputs.length === 0 ? undefined : watch();
    const moduleBytes = compiled ? undefined : await expectFrame(FrameKind.Module);
    const reorderedBytes = isReordered ? await expectFrame(FrameKind.Reordered) : undefined;
    const inputs: FileInput[] = [];
    for (const { path, file } of header.inputs) {
      inputs.push(file ? { path, data: await expectFrame(FrameKind.Input) } : { path });
    }
    const early = ahead;
    ahead = undefined;
    const module = compiled ?? early ?? await compileModule(moduleBytes!, reorderedBytes);
    // The engine may have had this thread all that time.
    const late = compiled ? undefined : monitor.overTime();
    if (late !== undefined) {
      stopping.resolve(late);
      await stopped;
    }
    if ("module" in module) {
      if (key !== null) kept.set(key, module);
      worker.give({ ...header, json: first.payload, key, module: module.module, inputs });
      const stdin = new StdinForwarder(link, worker);
      if (early === undefined) await stdin.takeAhead();
      else await stdin.takeSoon(BRIEFLY_MS);
      // A short job ends in that time, and has cost no timers.
      const { wallTimeMs, cpuTimeMs } = limits;
      const briefly = early === undefined ? BRIEFLY_MS : BRIEFLY_AT_FIRST_MS;
      if (stdin.ended) worker.waitSync(Math.min(briefly, wallTimeMs, cpuTimeMs));
      stopped ??= worker.hasEnded ? undefined : watch();
      const pump = stdin.takeAll();
      const ended = worker.ended(writeAll);
      const { end, memoryPeakBytes, rest } =
        await (stopped ? Promise.race([ended, stopped]) : ended);
      monitor.stop();
      if (header.isWarmUp) rssAtReady = residentBytes();
      const used = monitor.cpuTimeMs();
      const report = encodeEnd(await originalEnd(end, module), {
        late: monitor.overTime(used),
        cpuTimeMs: used,
        memoryPeakBytes,
        outputBytes: limits.outputBytes,
        reusable: isReusable(monitor, memoryPeakBytes),
      });
      await writeAll(joinBytes([...rest, report]));
      worker.discardStdin();
      await pump;
      worker.resetStdin();
    } else {
      monitor.stop();
      const refused = { ...module, reusable: isReusable(monitor) } satisfies RefusedReport;
      await writeAll(encodeIpcJson(FrameKind.Refused, refused));
      await new StdinForwarder(link, undefined).takeAll();
    }
  } finally {
    monitor.stop();
    onTerm = onIdleTerm;
  }
  rssAtRest = residentBytes();
}

/**
 * Whether this process may take another job: the engine collects the memory of a guest when it sees fit, so that
 * jobs could heap up more than any of them may use. What was there before this one is known, and after one
 * that took little nobody has to wait for another look: the next one would find what it left.
 */
function isReusable(monitor: JobMonitor, memoryPeakBytes = Infinity): boolean {
  const { overheadBytes } = monitor;
  if (rssAtRest + memoryPeakBytes - rssAtReady <= overheadBytes / 2) return true;
  return residentBytes() - rssAtReady <= overheadBytes;
}

/** Sends what the guest wrote so far and how it was stopped, then ends the process and so the guest. */
async function stopHard(
  stop: Exceeded,
  worker: GuestWorkerControl,
  monitor: JobMonitor,
): Promise<never> {
  if (worker.isOver) return await new Promise<never>(() => {}); // it has ended by itself
  const cpuTimeMs = monitor.cpuTimeMs();
  const memoryPeakBytes = monitor.rssGrowthBytes();
  Deno.stderr.writeSync(new TextEncoder().encode(`${STOPPING_MARK}\n`));
  await worker.drain(writeAll);
  await writeAll(encodeIpcJson(
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

function encodeEnd(
  end: WorkerEnd,
  figures: {
    cpuTimeMs: number;
    memoryPeakBytes: number;
    outputBytes: number;
    reusable: boolean;
    late: Exceeded | undefined;
  },
): Uint8Array {
  if (end.type === "refused") {
    const { code, reason: message } = end;
    const refused = { code, message, reusable: figures.reusable } satisfies RefusedReport;
    return encodeIpcJson(FrameKind.Refused, refused);
  }
  const { cpuTimeMs, memoryPeakBytes, outputBytes, reusable, late } = figures;
  const message = late?.message ?? describeEnd(end, outputBytes);
  return encodeIpcJson(
    FrameKind.Finished,
    {
      status: late?.status ?? end.type,
      exitCode: late === undefined && end.type === "exited" ? end.exitCode : null,
      ...(message === undefined ? {} : { message }),
      cpuTimeMs,
      memoryPeakBytes,
      reusable,
    } satisfies FinishedReport,
  );
}

/** The end, with the place of a trap as it is in the module that was given. */
async function originalEnd(end: WorkerEnd, { frames }: CompiledModule): Promise<WorkerEnd> {
  if (end.type !== "trapped") return end;
  return { ...end, reason: originalReason(end.reason, await frames()) };
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
async function nextFrame(): Promise<ParentFrame> {
  return await link.next() ?? Deno.exit(0);
}

async function expectFrame(kind: number): Promise<Uint8Array<ArrayBuffer>> {
  const frame = await nextFrame();
  if (frame.kind !== kind) throw unexpected(frame.kind);
  return frame.payload as Uint8Array<ArrayBuffer>;
}

function parseJob(frame: Frame): JobHeader {
  if (frame.kind !== FrameKind.Job) throw unexpected(frame.kind);
  return JSON.parse(decoder.decode(frame.payload));
}

function unexpected(kind: number): PlasmError {
  return new PlasmError("executor", `Cannot take frame here: kind ${kind}`);
}

function writeAll(bytes: Uint8Array): Promise<void> {
  return link.write(bytes);
}

if (import.meta.main) {
  const socket = Deno.args[0];
  await runExecutor({ socket, first: socket === undefined ? bootstrapExecutor() : undefined });
}
