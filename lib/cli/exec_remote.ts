/**
 * `plasm exec --remote`: finds a node, runs the job there, and prints nothing that is not verified.
 * @module
 */
import { EMPTY_HASH } from "../job/hash.ts";
import type { PlasmNetwork } from "../network/network.ts";
import { bytesSource } from "../protocol/blob_source.ts";
import { findCandidates, jobDialer } from "../protocol/network.ts";
import { runRemote } from "../protocol/request.ts";
import type { RemoteJob, RemoteProgress, RemoteResult } from "../protocol/request_types.ts";
import { printable } from "../printable.ts";
import type { ParsedArgs } from "./args.ts";
import type { ExecJob } from "./exec_job.ts";
import { CollectedOutput } from "./exec_output.ts";
import { exitStatusOf } from "./exit_status.ts";
import type { CliIo } from "./io.ts";
import { writeReceipt } from "./receipt_file.ts";
import { joinAsClient } from "./remote_network.ts";
import { readStdin } from "./stdin.ts";

interface Context {
  args: ParsedArgs;
  io: CliIo;
}

/** Output that `--json` holds in memory, in bytes. */
const MAX_COLLECTED_BYTES = 64 * 2 ** 20;

/** Output where neither manifest nor operator says otherwise, in bytes; held on the disk. */
const MAX_OUTPUT_BYTES = 2 ** 30;

async function remoteJob({ module, manifest, inputs }: ExecJob, io: CliIo): Promise<RemoteJob> {
  const sources = new Map(
    await Promise.all(
      Object.values(inputs).filter((data) => data.length > 0).map(async (data) => {
        const source = await bytesSource(data);
        return [source.hash, source] as const;
      }),
    ),
  );
  sources.delete(EMPTY_HASH);
  return {
    manifest,
    module: await bytesSource(module),
    stdin: await bytesSource(await readStdin(io) ?? new Uint8Array()),
    inputs: [...sources.values()],
  };
}

/** News for people: one line that changes on a terminal, else only what went wrong. */
function progressTo(io: CliIo, json: boolean): {
  show: (progress: RemoteProgress | { phase: "finding" }) => void;
  clear: () => Promise<void>;
} {
  const isLive = io.stderrIsTerminal && !json;
  let tail: Promise<void> = Promise.resolve();
  const say = (text: string): void => {
    tail = tail.then(() => io.message(text));
  };
  return {
    show(progress) {
      if (progress.phase === "failed" && !json) {
        const { message } = progress.error;
        say(`${isLive ? "\r\x1b[K" : ""}plasm: ${short(progress.peerId)}: ${printable(message)}\n`);
      } else if (isLive) say(`\r\x1b[K${describe(progress)}`);
    },
    async clear() {
      if (isLive) say("\r\x1b[K");
      await tail;
    },
  };
}

function short(peerId: string): string {
  return peerId.slice(-8);
}

function describe(progress: RemoteProgress | { phase: "finding" }): string {
  if (progress.phase === "finding") return "finding a node…";
  const where = short(progress.peerId);
  switch (progress.phase) {
    case "sending": {
      const share = progress.total === 0 ? 1 : progress.sent / progress.total;
      return `${where}: sending ${Math.floor(share * 100)} %`;
    }
    case "queued":
      return `${where}: queued at ${progress.position + 1}`;
    default:
      return `${where}: ${progress.phase}…`;
  }
}

async function printResult(result: RemoteResult, { args, io }: Context): Promise<void> {
  const { receipt, output, message, peerId, attempts } = result;
  const path = args.string("receipt");
  if (path !== undefined) await writeReceipt(path, receipt);
  if (args.flag("json")) {
    const collected = new CollectedOutput();
    for (const stream of ["stdout", "stderr"] as const) {
      for await (const data of output.read(stream)) collected.add(stream, data);
    }
    const { status, exit_code, usage } = receipt;
    const document = { status, exit_code, message, usage, ...collected.toJSON(), receipt };
    await io.write(`${JSON.stringify({ ...document, verified: true, node: peerId, attempts })}\n`);
    return;
  }
  if (!args.flag("live")) {
    for await (const data of output.read("stderr")) await io.message(data);
    for await (const data of output.read("stdout")) await io.write(data);
  } else await io.message(`plasm: verified, the receipt of ${peerId} is right\n`);
  if (receipt.status !== "exited") {
    await io.message(`plasm: ${printable(message ?? receipt.status)}\n`);
  }
}

/**
 * Runs a job on another node.
 *
 * @throws {PlasmError} why there is no verified result; see `runRemote`
 */
export async function execRemote(job: ExecJob, context: Context): Promise<number> {
  const { args, io } = context;
  const json = args.flag("json");
  const remote = await remoteJob(job, io);
  const network: PlasmNetwork = await joinAsClient(args, io);
  const { show, clear } = progressTo(io, json);
  try {
    show({ phase: "finding" });
    const asked = job.manifest.resources.output_bytes ?? MAX_OUTPUT_BYTES;
    using result = disposable(
      await runRemote(remote, {
        dial: jobDialer(network),
        candidates: findCandidates(network, {
          peer: args.string("peer"),
          resources: job.manifest.resources,
          arch: args.string("arch"),
          minMemoryMb: args.integer("min-memory"),
          attempts: args.integer("attempts"),
          signal: io.signal,
        }),
        signal: io.signal,
        attempts: args.integer("attempts"),
        maxOutputBytes: json ? Math.min(asked, MAX_COLLECTED_BYTES) : asked,
        onProgress: show,
        noteOutcome: (peerId, outcome) => network.noteOutcome(peerId, outcome),
        ...(args.flag("live")
          ? {
            live: async (stream, data) => {
              await clear();
              await (stream === "stdout" ? io.write(data) : io.message(data));
            },
          }
          : {}),
      }),
    );
    await clear();
    await printResult(result, context);
    return exitStatusOf(result.receipt.status, result.receipt.exit_code);
  } finally {
    await clear();
    await network.stop();
  }
}

function disposable(result: RemoteResult): RemoteResult & Disposable {
  return { ...result, [Symbol.dispose]: () => result.output[Symbol.dispose]() };
}
