/**
 * Runs the child process: receives jobs, compiles their modules, runs each in its worker, and reports the results.
 *
 * The process exits to stop a job: a busy worker cannot be stopped in any other way (denoland/deno#35657).
 *
 * @module
 */
import type { NondeterminismSource } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { buildFrame, concat } from "../../util/mod.ts";
import { bootstrapExecutor, type InitialRead } from "../bootstrap/mod.ts";
import {
  encodeIpcJson,
  type FinishedReport,
  FrameKind,
  type GuestExit,
  type IpcFrame,
  type JobHeader,
  MAX_STREAM_BYTES,
  type RefusedReport,
  STOPPING_MARK,
  type UsageReport,
} from "../ipc/mod.ts";
import type { CallLocation, FileInput, LeftBehind, SandboxLimits } from "../job_types.ts";
import { FileCollection } from "./file_collection.ts";
import { type ExceededLimit, JobMonitor, processCpuMs, residentBytes } from "./job_monitor.ts";
import {
  compileCode,
  type CompiledModule,
  type CompileModuleOptions,
  loadComponent,
  loadInstrument,
  loadReorder,
} from "./module_compiler.ts";
import { connectToParent, type ParentConnection, type ParentFrame } from "./parent_connection.ts";
import { shareInput, startGuestWorker, StdinForwarder, WorkerControl } from "./worker_control.ts";
import type { FoundOutputs } from "../../wasi/recovery/mod.ts";

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
let earlyModule: Awaited<ReturnType<typeof compileCode>> | undefined;

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
  connection = await connectToParent({ socket, initialRead });
  if (initialRead !== undefined) earlyModule = await compileEarly();
  const worker = new WorkerControl(startGuestWorker());
  // From source, the worker's modules are read with the permissions of this thread.
  if (earlyModule === undefined || !Deno.build.standalone) await worker.ready;
  if (!Deno.build.standalone) {
    await Promise.all([loadReorder(), loadInstrument(), loadComponent(), loadRecovery()]);
  }
  dropPermissions();
  rssAtReady = rssAtRest = residentBytes();
  const reporting = write(buildFrame(FrameKind.Ready));
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
  const header = connection.peek(FrameKind.Job)!; // it precedes the module
  const compiled = await compileCode(module, {
    reordered: connection.peek(FrameKind.Reordered),
    ...codeOptions(parseJson(header)),
  });
  earlyCpuMs = processCpuMs() - before;
  return compiled;
}

/** What a job asks of the code of its module. */
function codeOptions({ deterministic, limits }: JobHeader): CompileModuleOptions {
  return { isDeterministic: deterministic !== null, fuel: limits.fuel };
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
  const collection = new FileCollection(limits, monitor);
  const inputs: FileInput[] = [];
  const onIdleTerminate = onTerminate;
  onTerminate = () =>
    stopping.resolve({ status: "cancelled", message: "Job stopped: it was cancelled" });
  const watch = (): Promise<never> => {
    const limited = monitor.watch().then(async (reason) => {
      if (header.outputs.length === 0 || reason.status !== "timeout") return { reason };
      announceStop();
      await collection.stop(reason, worker);
      const { outputs, limits: { outputFilesBytes: maxBytes } } = header;
      const collect = async () => {
        const { collectShared } = await loadRecovery();
        return collectShared(worker.files, { outputs, maxBytes, inputs });
      };
      return { reason, collect };
    });
    const others = Promise.race([collection.expired, stopping.promise]);
    return Promise.race([limited, others.then((reason) => ({ reason }))])
      .then((stop) => stopAndExit(stop, worker, monitor));
  };
  try {
    monitor.report = (usage) => {
      const report = { ...usage, nondeterminism: worker.sources } satisfies UsageReport;
      return write(encodeIpcJson(FrameKind.Usage, report));
    };
    monitor.moduleBytes = bytes;
    const cached = cachedModules.get(key ?? "");
    let stopped = cached && header.inputs.length === 0 ? undefined : watch();
    const moduleBytes = cached ? undefined : await expectFrame(FrameKind.Module);
    const reorderedBytes = isReordered ? await expectFrame(FrameKind.Reordered) : undefined;
    for (const { file, ...input } of header.inputs) {
      const data = file ? await expectFrame(FrameKind.Input) : undefined;
      inputs.push({ ...input, data: data && header.outputs.length > 0 ? shareInput(data) : data });
    }
    monitor.inputBytes = inputs.reduce((sum, { data }) => sum + (data?.length ?? 0), 0);
    const early = earlyModule;
    earlyModule = undefined;
    const module = cached ?? early ?? await compileCode(moduleBytes!, {
      reordered: reorderedBytes,
      ...codeOptions(header),
    });
    // V8 may have blocked this thread during compilation.
    const late = cached ? undefined : monitor.exceededTime();
    if (late !== undefined) {
      stopping.resolve(late);
      await stopped;
    }
    if ("module" in module) {
      if (key !== null) cachedModules.set(key, module);
      const onFiles = () => collection.begin();
      worker.start({ ...header, json: first.payload, key, module: module.module, inputs, onFiles });
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
      const { exit, memoryPeakBytes, leftBehind, fuel, wasFull, lastOutput } =
        await (stopped ? Promise.race([finished, stopped]) : finished);
      monitor.stop();
      collection.end();
      if (header.isWarmUp) rssAtReady = residentBytes();
      const used = collection.guest?.cpuTimeMs ?? monitor.cpuTimeMs();
      const end = honestExit(exit, module);
      const report = encodeReport(end, {
        late: collection.reason ?? (collection.guest ?? { late: monitor.exceededTime(used) }).late,
        cpuTimeMs: used,
        memoryPeakBytes,
        limits,
        wasFull: wasFull === true,
        nondeterminism: worker.sources,
        leftBehind,
        // Where the system refuses memory depends on the machine.
        fuel: { used: end.type === "memory" ? undefined : fuel, limit: limits.fuel },
        trace: await submittedTrace(end, module),
        reusable: !collection.isStopped && isReusable(monitor, memoryPeakBytes),
      });
      await write(concat([...lastOutput, report]));
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
  const { overheadBytes, inputBytes } = monitor;
  if (rssAtRest + memoryPeakBytes + inputBytes - rssAtReady <= overheadBytes / 2) return true;
  return residentBytes() - rssAtReady <= overheadBytes;
}

/** Reports to the parent that the job is being stopped, so that it accepts the rest of its output. */
function announceStop(): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${STOPPING_MARK}\n`));
}

/** A stop that ends the process. */
interface ForcedStop {
  reason: ExceededLimit;
  /** Collects the output files of a guest that computes; `undefined` if it has not begun. */
  collect?: () => Promise<FoundOutputs | undefined>;
}

/** Sends the guest's output and the reason why its job was stopped, then exits, which ends the guest. */
async function stopAndExit(
  { reason, collect }: ForcedStop,
  worker: WorkerControl,
  monitor: JobMonitor,
): Promise<never> {
  if (worker.isFinished) return await new Promise<never>(() => {}); // the job has ended already
  const cpuTimeMs = monitor.cpuTimeMs();
  const memoryPeakBytes = monitor.rssGrowthBytes();
  announceStop();
  await worker.drain(write);
  // The parent then waits for the files, which may be many, instead of killing the process.
  if (collect !== undefined) await write(buildFrame(FrameKind.Files));
  const files = await collect?.();
  for (const piece of files?.archive ?? []) {
    for (let at = 0; at < piece.length; at += MAX_STREAM_BYTES) {
      await write(buildFrame(FrameKind.Files, piece.subarray(at, at + MAX_STREAM_BYTES)));
    }
  }
  const problem = files?.problem === undefined
    ? ""
    : `; its output files are lost: ${files.problem}`;
  await write(encodeIpcJson(
    FrameKind.Finished,
    {
      status: reason.status,
      exitCode: null,
      message: `${reason.message}${problem}`,
      leftBehind: files?.leftBehind,
      cpuTimeMs,
      memoryPeakBytes,
      nondeterminism: worker.sources,
      reusable: false,
    } satisfies FinishedReport,
  ));
  Deno.exit(0);
}

/** Figures of {@linkcode encodeReport}. */
interface ReportFigures {
  cpuTimeMs: number;
  memoryPeakBytes: number;
  limits: SandboxLimits;
  wasFull: boolean;
  nondeterminism: NondeterminismSource[];
  leftBehind: LeftBehind | undefined;
  fuel: { used: number | undefined; limit: number | undefined };
  trace: CallLocation[] | undefined;
  reusable: boolean;
  late: ExceededLimit | undefined;
}

function encodeReport(exit: GuestExit, figures: ReportFigures): Uint8Array {
  if (exit.type === "refused") {
    const { code, reason: message } = exit;
    const refused = { code, message, reusable: figures.reusable } satisfies RefusedReport;
    return encodeIpcJson(FrameKind.Refused, refused);
  }
  const { cpuTimeMs, memoryPeakBytes, limits, wasFull, late } = figures;
  const { nondeterminism, leftBehind, fuel, reusable, trace } = figures;
  const message = late?.message ?? describeExit(exit, { limits, wasFull });
  const status = exit.type === "output-files"
    ? "output"
    : exit.type === "stopped"
    ? "timeout"
    : exit.type;
  return encodeIpcJson(
    FrameKind.Finished,
    {
      status: late?.status ?? status,
      exitCode: late === undefined && exit.type === "exited" ? exit.exitCode : null,
      ...(message === undefined ? {} : { message }),
      trace: late === undefined ? trace : undefined,
      cpuTimeMs,
      memoryPeakBytes,
      nondeterminism,
      leftBehind,
      fuel: late === undefined ? fuel.used : undefined,
      reusable,
    } satisfies FinishedReport,
  );
}

/** The exit; a trap because the system refuses memory is none of the module's. */
function honestExit(exit: GuestExit, { isRefusedGrowth }: CompiledModule): GuestExit {
  const innermost = exit.type === "trapped" ? exit.trace?.[0] : undefined;
  if (innermost === undefined || !isRefusedGrowth(innermost)) return exit;
  return { type: "memory", reason: "the system refused memory that the job's limit allows" };
}

/** Frames of a trap as places in the code sections of the module as received, innermost first. */
async function submittedTrace(
  exit: GuestExit,
  { locate }: CompiledModule,
): Promise<CallLocation[] | undefined> {
  if (exit.type !== "trapped" || exit.trace === undefined) return undefined;
  const at = await locate();
  return exit.trace.map((location) => ({ ...location, offset: at(location) }))
    .filter((location): location is CallLocation => location.offset !== undefined);
}

function describeExit(
  exit: Exclude<GuestExit, { type: "refused" }>,
  { limits, wasFull }: Pick<ReportFigures, "limits" | "wasFull">,
): string | undefined {
  switch (exit.type) {
    case "exited":
      // A program may report the error of a write in any way, or not at all.
      return wasFull && exit.exitCode !== 0
        ? `The job's file system was full, jobs.ceilings allows fs_bytes ${limits.fsBytes} and ` +
          `fs_inodes ${limits.fsInodes}`
        : undefined;
    case "trapped":
      return `Job trapped: ${exit.reason}`;
    case "memory":
      return `Job stopped: ${exit.reason}`;
    case "output":
      return `Job stopped: it wrote more than its ${limits.outputBytes} bytes of output`;
    case "fuel":
      return `Job stopped: it used up its fuel of ${limits.fuel} instructions`;
    case "output-files":
      return `Job cannot return its output files: ${exit.reason}`;
    case "stopped":
      return "Job stopped";
  }
}

/** Loads the collection of files of guests that compute without a call, on demand. */
async function loadRecovery(): Promise<typeof import("../../wasi/recovery/mod.ts")> {
  return await import("../../wasi/recovery/mod.ts");
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
  return parseJson(frame.payload);
}

function parseJson(payload: Uint8Array): JobHeader {
  return JSON.parse(decoder.decode(payload));
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
