/**
 * `plasm exec`: runs a job on this machine.
 * @module
 */
import { loadOrCreateIdentity } from "../identity.ts";
import { stateDir } from "../paths.ts";
import { streamJob } from "../sandbox/run_job.ts";
import type { SandboxOutcome } from "../sandbox/types.ts";
import type { Command } from "./command.ts";
import { readExecJob } from "./exec_job.ts";
import { CollectedOutput } from "./exec_output.ts";
import { exitStatusOf } from "./exit_status.ts";
import { checkRemoteOptions, REMOTE_OPTIONS } from "./remote_options.ts";
import { SOCKET_OPTION } from "./socket_option.ts";
import { printable } from "../printable.ts";
import { checkReceiptPath, writeReceipt } from "./receipt_file.ts";
import { orStopped } from "./stopped.ts";

/** Bytes of output that `--json` holds in memory. */
const MAX_COLLECTED_BYTES = 64 * 2 ** 20;

/** How long writing an interrupted job's output may take: its reader may never read, in ms. */
const STOP_GRACE_MS = 500;

/** The command. */
export const exec: Command = {
  spec: {
    name: "exec",
    summary: "Run a WASI module in a sandbox on this machine",
    usage: "[OPTIONS] MODULE [-- ARG…]",
    description:
      "Runs a WebAssembly module (WASI preview1 command) in a sandbox: it sees its arguments, its " +
      "environment, standard input and the files given with --input, and nothing else of this " +
      "machine. The exit status is the job's own; 124 says that it ran out of time, 134 that it " +
      "trapped, 137 that it ran out of memory or output.",
    options: [
      {
        name: "manifest",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Read resources, arguments and environment from a manifest",
      },
      {
        name: "memory-mb",
        kind: "integer",
        placeholder: "N",
        help: "Linear memory in MiB (default 256)",
      },
      {
        name: "timeout",
        kind: "integer",
        placeholder: "S",
        help: "Wall time in seconds (default 60)",
      },
      { name: "cpu-seconds", kind: "integer", placeholder: "N", help: "CPU time in seconds" },
      {
        name: "env",
        kind: "string",
        placeholder: "K=V",
        repeat: true,
        help: "Set a variable in the job's environment",
      },
      {
        name: "input",
        kind: "string",
        placeholder: "HOST[:GUEST]",
        repeat: true,
        complete: "file",
        help: "Give the job a copy of a file or directory",
      },
      {
        name: "receipt",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Write the signed receipt to a file",
      },
      { name: "daemon", kind: "flag", help: "Run it by way of the daemon and its queue" },
      SOCKET_OPTION,
      ...REMOTE_OPTIONS,
    ],
    positionals: { min: 1, max: 1, complete: "file" },
    takesRest: true,
    examples: [
      {
        call: 'echo -n "Hello, World" | plasm exec hello.wasm',
        does: "Run a module on some input",
      },
      {
        call: "plasm exec --receipt r.json hello.wasm < in > out",
        does: "Keep the proof; then: plasm verify r.json --stdin in --stdout out",
      },
      {
        call: "plasm exec --memory-mb 512 --input data:/data app.wasm -- --verbose /data",
        does: "Give it memory, a directory and arguments",
      },
      {
        call: "plasm exec --remote --arch aarch64 hello.wasm < in > out",
        does: "Run it on a stranger's node and check its receipt before anything is printed",
      },
    ],
  },
  drops: (args) =>
    args.flag("remote") ? ["run"] : args.flag("daemon") ? ["run", "sys"] : ["net", "sys"],
  async run(args, io): Promise<number> {
    const { signal } = io;
    const receiptPath = args.string("receipt");
    const json = args.flag("json");
    if (receiptPath !== undefined) await checkReceiptPath(receiptPath);
    checkRemoteOptions(args);
    // Nothing runs yet: a pipe that nobody opens, or a file system that hangs, is left at once.
    const job = await orStopped(readExecJob(args, io), { signal });
    if (args.flag("remote")) {
      return await (await import("./exec_remote.ts")).execRemote(job, { args, io });
    }
    if (args.flag("daemon")) {
      return await (await import("./exec_daemon.ts")).execByDaemon(job, { args, io });
    }
    const { module, manifest, inputs, ceilings } = job;
    const signer = json || receiptPath !== undefined
      ? await loadOrCreateIdentity(stateDir((name) => io.env(name)))
      : undefined;
    const collected = json ? new CollectedOutput() : undefined;
    const output_bytes = json
      ? Math.min(ceilings.output_bytes, MAX_COLLECTED_BYTES)
      : ceilings.output_bytes;
    const events = streamJob(module, {
      manifest,
      inputs,
      ceilings: { ...ceilings, output_bytes },
      stdin: io.stdin,
      signer,
      signal,
    });
    for await (const event of events) {
      if (event.type === "stdout" || event.type === "stderr") {
        if (collected !== undefined) collected.add(event.type, event.data);
        else {
          const { type, data } = event;
          const writing = type === "stdout" ? io.write(data) : io.message(data);
          await orStopped(writing, { signal, graceMs: STOP_GRACE_MS });
        }
      } else if (event.type === "finished") {
        const { outcome, receipt } = event;
        if (receiptPath !== undefined && receipt !== undefined) {
          await writeReceipt(receiptPath, receipt);
        }
        if (collected !== undefined) {
          await io.write(
            `${JSON.stringify({ ...outcomeJson(outcome), ...collected.toJSON(), receipt })}\n`,
          );
        } else if (outcome.status !== "exited") {
          await io.message(`plasm: ${printable(outcome.message ?? outcome.status)}\n`);
        }
        return exitStatusOf(outcome.status, outcome.exitCode);
      }
    }
    return 70;
  },
};

function outcomeJson(outcome: SandboxOutcome): Record<string, unknown> {
  const { status, exitCode, message, usage } = outcome;
  return {
    status,
    exit_code: exitCode,
    ...(message === undefined ? {} : { message }),
    usage: {
      wall_time_ms: usage.wallTimeMs,
      cpu_time_ms: usage.cpuTimeMs,
      memory_peak_bytes: usage.memoryPeakBytes,
    },
  };
}
