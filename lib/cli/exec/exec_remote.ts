/**
 * `plasm exec --remote`: finds a node, runs the job there, and prints nothing that is not verified.
 * @module
 */
import { EMPTY_HASH } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { PlasmNetwork } from "../../p2p/mod.ts";
import {
  bytesSource,
  type RemoteJob,
  type RemoteResult,
  resumeOnPeer,
  type ResumeOnPeerOptions,
  type ResumeTicket,
  runOnPeers,
} from "../../remote/client/mod.ts";
import { findCandidates, jobDialer } from "../../remote/libp2p/mod.ts";
import { printable } from "../../util/mod.ts";
import type { ParsedArgs } from "../command.ts";
import type { ExecJob } from "./exec_job.ts";
import { CollectedOutput } from "../job_result.ts";
import { exitStatusOf } from "../job_result.ts";
import type { CliIo } from "../io.ts";
import { writeReceipt } from "../receipt_file.ts";
import { joinAsClient } from "../remote_network.ts";
import { progressLine } from "../remote_progress.ts";
import { readWholeStdin } from "../stdin.ts";
import { readTicket, removeTicket, writeTicket } from "../ticket_file.ts";

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
    stdin: await bytesSource(await readWholeStdin(io) ?? new Uint8Array()),
    inputs: [...sources.values()],
  };
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

/** Whether a job may still be had from its node after this. */
function isLost({ code }: PlasmError): boolean {
  return code === "no-peer" || code === "peer-timeout";
}

/** Begins the job, or goes on with the one whose ticket is there. */
async function run(
  job: RemoteJob,
  network: PlasmNetwork,
  { args, io, ...options }: Context & Omit<ResumeOnPeerOptions, "dial">,
): Promise<RemoteResult> {
  const dial = jobDialer(network);
  const path = args.string("ticket");
  const kept = path === undefined ? undefined : await readTicket(path, job);
  const saveTicket = path === undefined ? undefined : async (ticket?: ResumeTicket) => {
    if (ticket === undefined) return await removeTicket(path);
    const { address = null } = network.peers().find(({ peerId }) => peerId === ticket.peerId) ?? {};
    await writeTicket(path, { ticket, address: address && whole(address, ticket.peerId) }, job);
  };
  try {
    if (kept === undefined) {
      return await runOnPeers(job, {
        ...options,
        dial,
        saveTicket,
        attempts: args.integer("attempts"),
        isSole: args.string("peer") !== undefined,
        candidates: findCandidates(network, {
          peer: args.string("peer"),
          resources: job.manifest.resources,
          arch: args.string("arch"),
          minMemoryMb: args.integer("min-memory"),
          attempts: args.integer("attempts"),
          signal: io.signal,
        }),
      });
    }
    const { ticket, address } = kept;
    return await resumeOnPeer(job, ticket, {
      ...options,
      dial: (peerId, dialling) => dial(address ?? peerId, dialling),
      saveTicket,
    });
  } catch (error) {
    if (path !== undefined && !isLost(PlasmError.from(error))) await removeTicket(path);
    throw error;
  }
}

/** An address that ends with the peer id, as one that was dialled by it does already. */
function whole(address: string, peerId: string): string {
  return address.endsWith(`/p2p/${peerId}`) ? address : `${address}/p2p/${peerId}`;
}

/**
 * Runs a job on another node.
 *
 * @throws {PlasmError} why there is no verified result; see `runOnPeers`
 */
export async function execRemote(job: ExecJob, context: Context): Promise<number> {
  const { args, io } = context;
  const json = args.flag("json");
  const remote = await remoteJob(job, io);
  const network: PlasmNetwork = await joinAsClient(args, io);
  const { show, clear } = progressLine(io, { json });
  try {
    show({ phase: "finding" });
    const asked = job.manifest.resources.output_bytes ?? MAX_OUTPUT_BYTES;
    using result = disposable(
      await run(remote, network, {
        args,
        io,
        signal: io.signal,
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
