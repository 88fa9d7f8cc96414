/**
 * Main program of the child process: receives jobs, runs each in its worker, monitors them and reports the results.
 *
 * The process exits to stop a job: a busy worker cannot be stopped in any other way (denoland/deno#35657).
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { joinBytes } from "../../util/mod.ts";
import { bootstrapExecutor, type InitialRead } from "../bootstrap/mod.ts";
import {
  encodeIpcFrame,
  encodeIpcJson,
  type FinishedReport,
  FrameKind,
  type GuestExit,
  type IpcFrame,
  type JobHeader,
  MAX_JOB_HEADER_BYTES,
  MAX_STDIN_BYTES,
  type RefusedReport,
  STOPPING_MARK,
} from "../ipc/mod.ts";
import type { FileInput } from "../job_types.ts";
import {
  type CompiledModule,
  compileModule,
  loadReorder,
  originalReason,
} from "./compile_module.ts";
import { type ExceededLimit, JobMonitor, processCpuMs, residentBytes } from "./job_monitor.ts";
import { connectToParent, type ParentConnection, type ParentFrame } from "./parent_connection.ts";
import { startGuestWorker, StdinForwarder, WorkerControl } from "./worker_control.ts";

/** Maximum payload of a Module or Input frame, in bytes; the parent enforces the job's own limits. */
const MAX_BLOB_BYTES = 2 ** 31 - 1;

const MAX_FRAME_BYTES: Record<number, number> = {
  [FrameKind.Job]: MAX_JOB_HEADER_BYTES,
  [FrameKind.Module]: MAX_BLOB_BYTES,
  [FrameKind.Reordered]: MAX_BLOB_BYTES,
  [FrameKind.Input]: MAX_BLOB_BYTES,
  [FrameKind.Stdin]: MAX_STDIN_BYTES,
  [FrameKind.StdinEnd]: 0,
};

/**
 * Time for which this thread blocks on the result of a short job, in milliseconds: the worker then wakes it without
 * a turn of the event loop. It is far shorter than the monitor's interval.
 */
const BRIEF_WAIT_MS = 2;

/** The same for the first job, while the worker is still loading, in milliseconds. */
const FIRST_BRIEF_WAIT_MS = 20;

/**
 * Time to wait for a speculatively sent job before the worker is started, in milliseconds. Starting the worker
 * blocks this thread, and the module can be compiled first. Reading a job that has been sent takes 1 ms.
 */
const INITIAL_READ_TIMEOUT_MS = 5;

/** 128 plus the number of SIGTERM, as a shell reports it. */
const EXIT_TERMINATED = 143;

const decoder = new TextDecoder();

/** Compiled modules that the parent wants cached for later jobs. */
const cachedModules = new Map<string, CompiledModule>();

/** Handles SIGTERM: cancels the current job, or exits if there is none. */
let onTerminate: () => void = () => Deno.exit(EXIT_TERMINATED);

/** Connection to the parent. */
let connection: ParentConnection;

/** Module of the first job, if it arrived before the worker was started. */
let earlyModule: Awaited<ReturnType<typeof compileModule>> | undefined;

/** CPU time spent on {@linkcode earlyModule}, which is charged to the first job. */
let earlyCpuMs = 0;

/** Resident memory before the first job that is not a warm-up, in bytes. */
let rssAtReady = 0;

/** Resident memory before the next job, in bytes, sampled while idle. */
let rssAtRest = 0;

/** Options of {@linkcode runExecutor}. */
export interface RunExecutorOptions {
  /** Path of the parent's socket. @default {standard input and output} */
  socket?: string | undefined;
  /** A read of standard input in progress. @default {none} */
  initialRead?: InitialRead | undefined;
}

/** Runs jobs until the parent closes the connection. */
export async function runExecutor({ socket, initialRead }: RunExecutorOptions): Promise<never> {
  Deno.addSignalListener("SIGTERM", () => onTerminate());
  connection = await connectToParent({
    socket,
    initialRead,
    maxBytes: (kind) => MAX_FRAME_BYTES[kind],
    streamedKind: FrameKind.Stdin,
  });
  if (initialRead !== undefined) earlyModule = await compileEarly();
  const worker = new WorkerControl(startGuestWorker());
  // From source, the worker's modules are read with the permissions of this thread.
  if (earlyModule === undefined || !Deno.build.standalone) await worker.ready;
  if (!Deno.build.standalone) await loadReorder();
  dropPermissions();
  rssAtReady = rssAtRest = residentBytes();
  const reporting = write(encodeIpcFrame(FrameKind.Ready));
  if (earlyModule === undefined) await reporting;
  while (true) {
    await runOne(await nextFrame(), worker);
  }
}

/** Compiles the module of a job that the parent has sent speculatively. */
async function compileEarly(): Promise<typeof earlyModule> {
  await connection.waitForInitialRead(INITIAL_READ_TIMEOUT_MS);
  const module = connection.peek(FrameKind.Module);
  if (module === undefined) return undefined;
  const before = processCpuMs();
  const compiled = await compileModule(module, connection.peek(FrameKind.Reordered));
  earlyCpuMs = processCpuMs() - before;
  return compiled;
}

/** Revokes all permissions: once the worker is loaded, nothing needs the host any more. */
export function dropPermissions(): void {
  const names = ["read", "write", "net", "env", "sys", "run", "ffi", "import"] as const;
  for (const name of names) {
    // `import` is missing in the descriptor type of some versions, but each of them accepts it.
    Deno.permissions.revokeSync({ name } as Deno.PermissionDescriptor);
  }
}

async function runOne(first: IpcFrame, worker: WorkerControl): Promise<void> {
  const header = parseJob(first);
  const { module: { key, evict, bytes }, isReordered, limits } = header;
  for (const evicted of evict) cachedModules.delete(evicted);
  worker.evict(evict);
  const monitor = new JobMonitor(limits, rssAtRest, { cpuBeforeMs: earlyCpuMs });
  earlyCpuMs = 0;
  const stopping = Promise.withResolvers<ExceededLimit>();
  const onIdleTerminate = onTerminate;
  onTerminate = () =>
    stopping.resolve({ status: "cancelled", message: "Job stopped: it was cancelled" });
  const watch = (): Promise<never> =>
    Promise.race([monitor.watch(), stopping.promise])
      .then((reason) => stopAndExit(reason, worker, monitor));
  try {
    monitor.report = (usage) => write(encodeIpcJson(FrameKind.Usage, usage));
    monitor.moduleBytes = bytes;
    const cached = cachedModules.get(key ?? "");
    let stopped = cached && header.inputs.length === 0 ? undefined : watch();
    const moduleBytes = cached ? undefined : await expectFrame(FrameKind.Module);
    const reorderedBytes = isReordered ? await expectFrame(FrameKind.Reordered) : undefined;
    const inputs: FileInput[] = [];
    for (const { path, file } of header.inputs) {
      inputs.push(file ? { path, data: await expectFrame(FrameKind.Input) } : { path });
    }
    const early = earlyModule;
    earlyModule = undefined;
    const module = cached ?? early ?? await compileModule(moduleBytes!, reorderedBytes);
    // V8 may have blocked this thread during compilation.
    const late = cached ? undefined : monitor.exceededTime();
    if (late !== undefined) {
      stopping.resolve(late);
      await stopped;
    }
    if ("module" in module) {
      if (key !== null) cachedModules.set(key, module);
      worker.start({ ...header, json: first.payload, key, module: module.module, inputs });
      const stdin = new StdinForwarder(connection, worker);
      if (early === undefined) await stdin.forwardBuffered();
      else await stdin.forwardBriefly(BRIEF_WAIT_MS);
      // A short job ends during this wait, without any timers.
      const { wallTimeMs, cpuTimeMs } = limits;
      const waitMs = early === undefined ? BRIEF_WAIT_MS : FIRST_BRIEF_WAIT_MS;
      if (stdin.ended) worker.waitSync(Math.min(waitMs, wallTimeMs, cpuTimeMs));
      stopped ??= worker.hasResult ? undefined : watch();
      const forwarding = stdin.forwardAll();
      const finished = worker.finish(write);
      const { exit, memoryPeakBytes, lastOutput } =
        await (stopped ? Promise.race([finished, stopped]) : finished);
      monitor.stop();
      if (header.isWarmUp) rssAtReady = residentBytes();
      const used = monitor.cpuTimeMs();
      const report = encodeReport(await withOriginalReason(exit, module), {
        late: monitor.exceededTime(used),
        cpuTimeMs: used,
        memoryPeakBytes,
        outputBytes: limits.outputBytes,
        reusable: isReusable(monitor, memoryPeakBytes),
      });
      await write(joinBytes([...lastOutput, report]));
      worker.discardStdin();
      await forwarding;
      worker.resetStdin();
    } else {
      monitor.stop();
      const refused = { ...module, reusable: isReusable(monitor) } satisfies RefusedReport;
      await write(encodeIpcJson(FrameKind.Refused, refused));
      await new StdinForwarder(connection, undefined).forwardAll();
    }
  } finally {
    monitor.stop();
    onTerminate = onIdleTerminate;
  }
  rssAtRest = residentBytes();
}

/**
 * Whether this process may run another job. V8 frees a guest's memory at a time of its choosing, so that several
 * jobs together could hold more than each of them may use. Memory before this job is known, and a small job needs
 * no further sample: the next job's check covers what it has left.
 */
function isReusable(monitor: JobMonitor, memoryPeakBytes = Infinity): boolean {
  const { overheadBytes } = monitor;
  if (rssAtRest + memoryPeakBytes - rssAtReady <= overheadBytes / 2) return true;
  return residentBytes() - rssAtReady <= overheadBytes;
}

/** Sends the guest's output and the reason why its job was stopped, then exits, which ends the guest. */
async function stopAndExit(
  reason: ExceededLimit,
  worker: WorkerControl,
  monitor: JobMonitor,
): Promise<never> {
  if (worker.isFinished) return await new Promise<never>(() => {}); // the job has ended already
  const cpuTimeMs = monitor.cpuTimeMs();
  const memoryPeakBytes = monitor.rssGrowthBytes();
  Deno.stderr.writeSync(new TextEncoder().encode(`${STOPPING_MARK}\n`));
  await worker.drain(write);
  await write(encodeIpcJson(
    FrameKind.Finished,
    {
      status: reason.status,
      exitCode: null,
      message: reason.message,
      cpuTimeMs,
      memoryPeakBytes,
      reusable: false,
    } satisfies FinishedReport,
  ));
  Deno.exit(0);
}

/** Figures of {@linkcode encodeReport}. */
interface ReportFigures {
  cpuTimeMs: number;
  memoryPeakBytes: number;
  outputBytes: number;
  reusable: boolean;
  late: ExceededLimit | undefined;
}

function encodeReport(exit: GuestExit, figures: ReportFigures): Uint8Array {
  if (exit.type === "refused") {
    const { code, reason: message } = exit;
    const refused = { code, message, reusable: figures.reusable } satisfies RefusedReport;
    return encodeIpcJson(FrameKind.Refused, refused);
  }
  const { cpuTimeMs, memoryPeakBytes, outputBytes, reusable, late } = figures;
  const message = late?.message ?? describeExit(exit, outputBytes);
  return encodeIpcJson(
    FrameKind.Finished,
    {
      status: late?.status ?? exit.type,
      exitCode: late === undefined && exit.type === "exited" ? exit.exitCode : null,
      ...(message === undefined ? {} : { message }),
      cpuTimeMs,
      memoryPeakBytes,
      reusable,
    } satisfies FinishedReport,
  );
}

/** The exit, with a trap's location in the module as submitted. */
async function withOriginalReason(
  exit: GuestExit,
  { frames }: CompiledModule,
): Promise<GuestExit> {
  if (exit.type !== "trapped") return exit;
  return { ...exit, reason: originalReason(exit.reason, await frames()) };
}

function describeExit(
  exit: Exclude<GuestExit, { type: "refused" }>,
  outputBytes: number,
): string | undefined {
  switch (exit.type) {
    case "exited":
      return undefined;
    case "trapped":
      return `Job trapped: ${exit.reason}`;
    case "memory":
      return `Job stopped: memory allocation failed: ${exit.reason}`;
    case "output":
      return `Job stopped: it wrote more than its ${outputBytes} bytes of output`;
  }
}

/** Reads the next frame; exits if the parent has closed the connection. */
async function nextFrame(): Promise<ParentFrame> {
  return await connection.next() ?? Deno.exit(0);
}

async function expectFrame(kind: number): Promise<Uint8Array<ArrayBuffer>> {
  const frame = await nextFrame();
  if (frame.kind !== kind) throw unexpected(frame.kind);
  return frame.payload as Uint8Array<ArrayBuffer>;
}

function parseJob(frame: IpcFrame): JobHeader {
  if (frame.kind !== FrameKind.Job) throw unexpected(frame.kind);
  return JSON.parse(decoder.decode(frame.payload));
}

function unexpected(kind: number): PlasmError {
  return new PlasmError("executor", `Unexpected frame: kind ${kind}`);
}

function write(bytes: Uint8Array): Promise<void> {
  return connection.write(bytes);
}

if (import.meta.main) {
  const socket = Deno.args[0];
  await runExecutor({
    socket,
    initialRead: socket === undefined ? bootstrapExecutor() : undefined,
  });
}
