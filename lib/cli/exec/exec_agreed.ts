/**
 * Runs the job of `plasm exec --remote --agree` on several nodes and prints the result on which enough of them agree.
 *
 * @module
 */
import { createEnvelope, loadOrCreateIdentity, type Receipt, stateDir } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { PlasmNetwork } from "../../p2p/mod.ts";
import {
  arbitrate,
  type Arbitration,
  type ClaimGroup,
  outcomeJson,
  quorumError,
  quorumLimit,
  type QuorumOutcome,
  recordStanding,
  runQuorum,
} from "../../quorum/mod.ts";
import { findQuorumNodes } from "../../quorum/network/mod.ts";
import { type RemoteJob, runOnPeers } from "../../remote/client/mod.ts";
import { findCandidates, jobDialer } from "../../remote/libp2p/mod.ts";
import { rerun } from "../../sandbox/mod.ts";
import type { ParsedArgs } from "../command.ts";
import { checkTarget, readWholeStdin, writeReceipt } from "../host_files.ts";
import type { CliIo } from "../io.ts";
import { exitStatusOf } from "../job_result.ts";
import { exitStatusWith } from "../output_files/mod.ts";
import { MAY_DIFFER, MAY_DIFFER_NOTE, parseQuorumSize } from "../remote_options.ts";
import { arbitrationJson } from "../verify_evidence.ts";
import { BundleFile } from "./bundle_file.ts";
import { writeEvidence } from "./evidence_file.ts";
import type { ExecJob } from "./exec_job.ts";
import { outputLimit, printVerified, remoteJob, writeOutputs } from "./exec_remote.ts";
import { joinAsClient } from "./join_network.ts";
import { type ProgressLine, progressLine } from "./progress_line.ts";

interface Context {
  args: ParsedArgs;
  io: CliIo;
}

/**
 * Runs a job on several nodes. Resolves to the exit status.
 *
 * @throws {PlasmError} `bad-receipt` if nodes disagree; `no-peer` if there are too few; as `runQuorum`
 */
export async function execAgreed(job: ExecJob, context: Context): Promise<number> {
  const { args, io } = context;
  quorumLimit(parseQuorumSize(args.string("agree")!));
  const path = args.string("evidence");
  if (path !== undefined) await checkTarget(path, "evidence");
  const isJson = args.flag("json");
  if (job.manifest.profile !== "deterministic" && !isJson) {
    await io.message(MAY_DIFFER_NOTE);
  }
  const stdin = await readWholeStdin(io) ?? new Uint8Array();
  const remote = await remoteJob(job, stdin);
  const network = await joinAsClient(args, { io });
  const progress = progressLine(io, { json: isJson });
  try {
    progress.show({ type: "finding" });
    using outcome = await runQuorum(
      remote,
      quorumOptions(network, { job, remote, args, io, progress }),
    );
    await progress.clear();
    try {
      return await new AgreedResult(outcome, { job, stdin, remote, network, args, io }).finish();
    } finally {
      await outcome.settled;
    }
  } finally {
    await progress.clear();
    await network.stop();
  }
}

function quorumOptions(
  network: PlasmNetwork,
  { job, remote, args, io, progress }: Context & {
    job: ExecJob;
    remote: RemoteJob;
    progress: ProgressLine;
  },
): Parameters<typeof runQuorum>[1] {
  return {
    ...parseQuorumSize(args.string("agree")!),
    sameNetwork: args.flag("same-network"),
    dial: jobDialer(network),
    candidates: (signal) =>
      findQuorumNodes(network, {
        resources: job.manifest.resources,
        module: remote.module,
        arch: args.string("arch"),
        minMemoryMb: args.integer("min-memory"),
        signal,
      }),
    signal: io.signal,
    maxOutputBytes: outputLimit(job.manifest, args.flag("json")),
    onEvent: (event) => progress.show(event),
    recordOutcome: (peerId, outcome) => network.recordOutcome(peerId, outcome),
  };
}

interface AgreedResultContext extends Context {
  job: ExecJob;
  stdin: Uint8Array;
  remote: RemoteJob;
  network: PlasmNetwork;
}

/** Outcome of a quorum: decides which result counts, and writes everything that the command asks for. */
class AgreedResult {
  readonly #outcome: QuorumOutcome;
  readonly #context: AgreedResultContext;

  constructor(outcome: QuorumOutcome, context: AgreedResultContext) {
    this.#outcome = outcome;
    this.#context = context;
  }

  /**
   * Prints the accepted result. Resolves to the exit status.
   *
   * @throws {PlasmError} if no result is accepted
   */
  async finish(): Promise<number> {
    const { args, io, network } = this.#context;
    const { groups } = this.#outcome;
    const receipts = groups.flatMap((group) => group.receipts);
    const evidence = await writeEvidence(receipts, { args, io });
    const error = quorumError(this.#outcome);
    const isDisputed = error !== undefined && groups.length > 1;
    const verdict = isDisputed && args.flag("arbitrate") ? await this.#arbitrate() : undefined;
    const accepted = error === undefined
      ? groups[0]
      : groups.find(({ receipts }) => verdict?.confirmed.includes(receipts[0]!));
    await this.#report(verdict, evidence);
    if (accepted === undefined) {
      throw evidence === undefined ? error : withEvidence(error!, { evidence, verdict });
    }
    recordStanding(
      receipts,
      verdict?.receipt ?? accepted.receipts[0]!,
      (peerId, outcome) => network.recordOutcome(peerId, outcome),
    );
    return await this.#print(accepted, { verdict, evidence });
  }

  /** Prints evidence and verdict on standard error. */
  async #report(verdict: Arbitration | undefined, evidence: string | undefined): Promise<void> {
    const { args, io } = this.#context;
    if (args.flag("json")) return;
    if (evidence !== undefined) {
      await io.message(`plasm: Nodes contradict each other: plasm verify ${evidence}\n`);
    }
    for (const { run } of verdict?.false ?? []) {
      await io.message(`plasm: False receipt of ${run.node.peer_id}\n`);
    }
  }

  async #print(
    accepted: ClaimGroup,
    { verdict, evidence }: { verdict: Arbitration | undefined; evidence: string | undefined },
  ): Promise<number> {
    const { job, stdin, args, io } = this.#context;
    const { manifest } = job;
    const { output, receipt, leftBehind } = accepted.result;
    await BundleFile.of(args)?.writeVerified({ job, manifest, receipt, stdin }, { output, io });
    const report = { written: await writeOutputs(job, { output, io }), leftBehind };
    const signed = [...accepted.receipts, ...verdict === undefined ? [] : [verdict.receipt]];
    const path = args.string("receipt");
    if (path !== undefined) {
      await writeReceipt(path, await createEnvelope(signed), { signal: io.signal });
    }
    const fields = {
      nodes: accepted.receipts.map(({ run }) => run.node.peer_id),
      receipts: signed,
      quorum: outcomeJson(this.#outcome),
      ...manifest.profile !== "deterministic" ? { may_differ: MAY_DIFFER } : {},
      ...verdict === undefined ? {} : { arbitration: arbitrationJson(verdict) },
      ...evidence === undefined ? {} : { evidence },
    };
    await printVerified(accepted.result, { args, io, report, fields });
    return exitStatusWith(report, exitStatusOf(receipt.claim.status, receipt.claim.exit_code));
  }

  /** Runs the job again, here or on the node of `--peer`, and compares the receipts with the new one. */
  async #arbitrate(): Promise<Arbitration> {
    const { args } = this.#context;
    const receipts = this.#outcome.groups.flatMap((group) => group.receipts);
    const again = args.flag("peer") ? await this.#runOnPeer() : await this.#runHere(receipts[0]!);
    return arbitrate(receipts, again);
  }

  async #runHere(receipt: Receipt): Promise<Receipt> {
    const { job: { module, manifest, inputs }, stdin, io } = this.#context;
    const { receipt: again } = await rerun(receipt, {
      module,
      manifest,
      inputs,
      stdin,
      signal: io.signal,
      signer: await loadOrCreateIdentity(stateDir((name) => io.env(name))),
    });
    return again!;
  }

  async #runOnPeer(): Promise<Receipt> {
    const { job: { manifest }, remote, network, args, io } = this.#context;
    const { receipt, output } = await runOnPeers(remote, {
      dial: jobDialer(network),
      candidates: findCandidates(network, {
        peer: args.string("peer"),
        resources: manifest.resources,
        module: remote.module,
        signal: io.signal,
      }),
      isSole: true,
      attempts: 1,
      signal: io.signal,
      maxOutputBytes: outputLimit(manifest, args.flag("json")),
    });
    output[Symbol.dispose]();
    return receipt;
  }
}

/** Adds the evidence and the verdict to the error of a disagreement. */
function withEvidence(
  error: PlasmError,
  { evidence, verdict }: { evidence: string; verdict: Arbitration | undefined },
): PlasmError {
  return new PlasmError(error.code, error.message, {
    hint: verdict === undefined
      ? error.hint
      : `The new run confirms no result; see plasm verify ${evidence}`,
    details: {
      ...error.details,
      evidence,
      ...verdict === undefined ? {} : { arbitration: arbitrationJson(verdict) },
    },
    cause: error,
  });
}
