/**
 * Runs the job of `plasm exec` through the daemon: stored (`--daemon`) or streamed (`--pipe`).
 *
 * @module
 */
import type { DaemonClient, SubmitOptions } from "../../client/mod.ts";
import { Hasher, type Receipt, type StackFrame, verifyReceipt } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { ParsedArgs } from "../command.ts";
import { printFailure } from "../backtrace_text.ts";
import { createClient } from "../daemon_client.ts";
import { backgroundDaemon } from "./background_daemon.ts";
import { readWholeStdin, writeReceipt } from "../host_files.ts";
import type { CliIo } from "../io.ts";
import { exitStatusOf, printFuel, printResult } from "../job_result.ts";
import {
  exitStatusWith,
  OutputDownload,
  type OutputsReport,
  OutputStaging,
  printOutputs,
} from "../output_files/mod.ts";
import { BundleFile } from "./bundle_file.ts";
import type { ExecJob } from "./exec_job.ts";

interface Context {
  args: ParsedArgs;
  io: CliIo;
}

/** The submission of a job, without its standard input. */
function submissionOf({ manifest, inputs }: ExecJob): Pick<SubmitOptions, "manifest" | "inputs"> {
  const { module_hash: _hash, inputs: _inputs, ...fields } = manifest;
  return { manifest: fields, ...(Object.keys(inputs).length === 0 ? {} : { inputs }) };
}

/**
 * Runs a stored job and prints its output as it arrives. An interrupt cancels the job.
 *
 * @throws {PlasmError} `no-daemon`, an error of the daemon, the error of a job without a result, `bad-receipt`
 */
export async function execByDaemon(job: ExecJob, context: Context): Promise<number> {
  const { args, io } = context;
  const { signal } = io;
  using client = await createClient(args, io);
  const stdin = await readWholeStdin(io);
  const { id } = await client.submit(job.module, { ...submissionOf(job), stdin, signal });
  const bundle = BundleFile.of(args);
  const complete = async (receipt: Receipt): Promise<void> => {
    if (bundle === undefined) return;
    // The daemon completes the manifest.
    const { manifest } = await client.job(id, { signal });
    await bundle.write({ job, manifest, receipt, stdin }, io);
  };
  try {
    if (!args.flag("json")) {
      return await printLive(client, id, { ...context, job, bundle, complete });
    }
    return await printResult(client, id, {
      ...context,
      targets: job.targets,
      inputs: job.manifest.inputs,
      onResult: bundle && (async ({ stdout, stderr, receipt, archive }) => {
        bundle.add("stdout", stdout);
        bundle.add("stderr", stderr);
        for (const part of archive) bundle.addFiles(part);
        await complete(receipt);
      }),
    });
  } catch (error) {
    // After an interrupt or a closed output the result has no reader.
    await client.cancel(id).catch(() => {});
    throw error;
  }
}

/** Prints output as it arrives, then compares the receipt with what was printed. */
async function printLive(
  client: DaemonClient,
  id: string,
  context: Context & {
    job: ExecJob;
    bundle: BundleFile | undefined;
    complete: (receipt: Receipt) => Promise<void>;
  },
): Promise<number> {
  const { io, bundle, complete } = context;
  const { targets, manifest: { inputs } } = context.job;
  const { signal } = io;
  let hashers = { stdout: new Hasher(), stderr: new Hasher() };
  using download = new OutputDownload(client, id, { targets, inputs, io });
  // A bundle stores the archive once the job has ended.
  const isLive = bundle === undefined;
  if (isLive) await download.start();
  for await (const event of client.follow(id, { signal })) {
    if (event.type === "stdout" || event.type === "stderr") {
      await hashers[event.type].update(event.data);
      bundle?.add(event.type, event.data);
      await (event.type === "stdout" ? io.write(event.data) : io.message(event.data));
    } else if (event.type === "interrupted") {
      await io.message("plasm: The node stopped; the job runs again from the start\n");
      hashers = { stdout: new Hasher(), stderr: new Hasher() };
      bundle?.discard();
      if (isLive) await download.start();
    }
  }
  const job = await client.job(id, { signal });
  const receipt = await client.settledReceipt(job, { signal });
  const { public_key: key } = await client.node({ signal });
  const measure = async (hasher: Hasher): Promise<{ bytes: number; hash: string }> => ({
    bytes: hasher.bytes,
    hash: await hasher.digest(),
  });
  await verifyReceipt(receipt, {
    key,
    nonce: job.nonce,
    stdout: await measure(hashers.stdout),
    stderr: await measure(hashers.stderr),
  });
  const onData = bundle && ((data: Uint8Array) => bundle.addFiles(data));
  const written = await download.commit(receipt, { onData });
  await complete(receipt);
  const report = { written, leftBehind: job.left_behind ?? undefined };
  const { message, backtrace } = job;
  return await finish(receipt, { message, backtrace }, { ...context, report });
}

/**
 * Rejects options that a piped run does not support.
 *
 * @throws {PlasmError} `usage`
 */
export function checkPipe(args: ParsedArgs): void {
  if (args.flag("bundle")) {
    throw new PlasmError("usage", "Cannot use --bundle with --pipe: the input is not stored", {
      hint: "Use --daemon instead of --pipe",
    });
  }
  if (!args.flag("json")) return;
  throw new PlasmError("usage", "Cannot use --json with --pipe: output is printed as it arrives", {
    hint: "Write the receipt to a file with --receipt",
  });
}

/**
 * Runs a piped job. An interrupt or a closed output cancels it.
 *
 * @throws {PlasmError} `no-daemon`, an error of the daemon, the error of a job without a result, `bad-receipt`
 */
export async function execByPipe(job: ExecJob, context: Context): Promise<number> {
  const { args, io } = context;
  using client = await createClient(args, io);
  const stdin = io.stdinIsTerminal ? undefined : io.stdinReader;
  return await pipe(job, { ...context, client, stdin });
}

/** Digits of the module's hash that name the submitter. */
const SUBMITTER_DIGITS = 16;

/**
 * Runs a local job in the background daemon, where a program shares an executor only with other runs of itself.
 * Resolves to `undefined` if none runs it: the job must run in a separate process.
 *
 * @throws {PlasmError} as {@linkcode execByPipe}, once the job has started
 */
export async function execInBackground(
  job: ExecJob,
  context: Context,
): Promise<number | undefined> {
  const { io } = context;
  using client = await backgroundDaemon(job, io);
  if (client === undefined) return undefined;
  let hasStarted = false;
  try {
    return await pipe(job, {
      ...context,
      client,
      stdin: io.stdinReader,
      submitter: `exec-${job.moduleHash.slice(-SUBMITTER_DIGITS)}`,
      onStarted: () => hasStarted = true,
    });
  } catch (error) {
    if (hasStarted || io.signal.aborted) throw error;
    return undefined; // the daemon is ending, or refuses the job, which a local run reports
  }
}

interface PipeContext extends Context {
  client: DaemonClient;
  stdin: CliIo["stdinReader"] | undefined;
  submitter?: string;
  onStarted?: () => void;
}

async function pipe(job: ExecJob, context: PipeContext): Promise<number> {
  const { io, client, stdin, submitter, onStarted } = context;
  const { signal } = io;
  const { targets, manifest: { inputs } } = job;
  using staging = new OutputStaging({ targets, inputs });
  const events = client.pipe(job.module, {
    ...submissionOf(job),
    files: staging,
    stdin,
    submitter,
    signal,
  });
  for await (const event of events) {
    if (event.type === "started") onStarted?.();
    else if (event.type === "stdout") await io.write(event.data);
    else if (event.type === "stderr") await io.message(event.data);
    else if (event.type === "files") await staging.add(event.data);
    else if (event.type === "finished" && event.receipt !== undefined) {
      const written = targets.length === 0 ? undefined : await staging.commit(io);
      const report = { written, leftBehind: event.outcome.leftBehind };
      return await finish(event.receipt, event.outcome, { ...context, report });
    }
  }
  throw new PlasmError("protocol", "Cannot read result: the connection ended without one");
}

/** Writes the receipt to the file of `--receipt`, and prints why the job ended unless it exited. */
async function finish(
  receipt: Receipt,
  { message, backtrace }: {
    message?: string | null | undefined;
    backtrace?: readonly StackFrame[] | null | undefined;
  },
  { args, io, report }: Context & { report: OutputsReport },
): Promise<number> {
  const path = args.string("receipt");
  if (path !== undefined) await writeReceipt(path, receipt, { signal: io.signal });
  const { status, exit_code, fuel } = receipt.claim;
  await printFailure(message ?? status, { status, backtrace, io });
  await printFuel(fuel, { args, io });
  await printOutputs(report, io);
  return exitStatusWith(report, exitStatusOf(status, exit_code));
}
