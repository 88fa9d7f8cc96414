/**
 * A daemon's API that lies as it is told: what it says of a node and of a job that was sent there, each part open to
 * change.
 * @module
 */
import type { FoundNodeJson, JobJson } from "../lib/api_types.ts";
import { type Identity, identityFromSecretKey } from "../lib/identity.ts";
import { sha256 } from "../lib/job/hash.ts";
import { createJobId } from "../lib/job/job_id.ts";
import { checkManifest, manifestHash } from "../lib/job/manifest.ts";
import { type ReceiptFields, signReceipt } from "../lib/job/receipt.ts";
import type { Receipt } from "../lib/job/types.ts";
import { type Capability, signCapability } from "../lib/network/capability.ts";
import { FIELDS } from "./network/fixtures.ts";

/** A node as the discovery tells it. */
export type ToldNode = Omit<FoundNodeJson, "capability"> & { capability: Capability };

/** Lies; what is left out is the truth. */
export interface Lies {
  /** What the discovery tells. @default {the truth} */
  node?: (node: ToldNode) => unknown;
  /** What the node signs. @default {the truth} */
  fields?: (fields: ReceiptFields) => ReceiptFields;
  /** Who signs the receipt. @default {the node} */
  signer?: Identity;
  /** The receipt that is given. @default {the truth} */
  receipt?: (receipt: Receipt) => unknown;
  /** Standard output that is given. @default {the truth} */
  stdout?: string;
  /** Standard error that is given. @default {empty} */
  stderr?: string;
}

const STDOUT = "dlroW ,olleH";
const BEGIN = "2026-01-02T03:04:05.000Z";
const END = "2026-01-02T03:04:05.010Z";

/** The node that is found. */
const NODE: Identity = await identityFromSecretKey(new Uint8Array(32).fill(1));

async function foundNode(): Promise<ToldNode> {
  const capability = await signCapability(FIELDS, {
    signer: NODE,
    seq: 1,
    addresses: ["/ip4/192.0.2.1/tcp/4001"],
    issuedAt: Date.parse(BEGIN),
    validityMs: 60_000,
  });
  const peer_id = NODE.peerId;
  return { peer_id, latency_ms: 1.5, score: 1, transport: "tcp", path: "direct", capability };
}

interface Submission {
  manifest: { module_hash: string };
  nonce: string;
  stdin: string;
  target: { peer: string };
}

/** The receipt of a job as an honest node fills it in. */
async function honestFields({ manifest, nonce, stdin }: Submission): Promise<ReceiptFields> {
  return {
    job_id: createJobId(),
    nonce,
    manifest_hash: await manifestHash(checkManifest(manifest)),
    module_hash: manifest.module_hash,
    stdin_hash: await sha256(Uint8Array.fromBase64(stdin)),
    stdout_hash: await sha256(new TextEncoder().encode(STDOUT)),
    stdout_bytes: STDOUT.length,
    stderr_hash: await sha256(new Uint8Array()),
    stderr_bytes: 0,
    status: "exited",
    exit_code: 0,
    usage: { wall_time_ms: 10, cpu_time_ms: 5, memory_peak_bytes: 131072 },
    started_at: BEGIN,
    finished_at: END,
    runtime: FIELDS.runtime,
  };
}

function finishedJob(id: string, { manifest, nonce, target }: Submission): JobJson {
  const hash = manifest.module_hash;
  return {
    ...{
      id,
      submitter: "local",
      state: "finished",
      status: "exited",
      exit_code: 0,
      target,
      peer: null,
    },
    ...{ message: null, error: null, position: null, priority: "normal", attempts: 1, nonce },
    ...{ manifest_hash: hash, module_hash: hash, stdin_hash: null },
    ...{
      created_at: BEGIN,
      started_at: BEGIN,
      finished_at: END,
      piped: false,
      stdout_bytes: 12,
      stderr_bytes: 0,
    },
  };
}

/** Serves until it is disposed of. */
export function serveLies(path: string, lies: Lies): AsyncDisposable {
  let submission: Submission;
  const id = createJobId();
  const finished = {
    id: 1,
    at: END,
    type: "finished",
    status: "exited",
    exit_code: 0,
    message: null,
  };
  const answers: Record<string, (request: Request) => Promise<unknown> | unknown> = {
    "/v1/discover": async () => {
      const node = await foundNode();
      return { nodes: [lies.node?.(node) ?? node] };
    },
    "/v1/jobs": async (request) => {
      submission = await request.json();
      return finishedJob(id, submission);
    },
    [`/v1/jobs/${id}`]: () => finishedJob(id, submission),
    [`/v1/jobs/${id}/events`]: () => finished,
    [`/v1/jobs/${id}/stdout`]: () => new Response(lies.stdout ?? STDOUT),
    [`/v1/jobs/${id}/stderr`]: () => new Response(lies.stderr ?? ""),
    [`/v1/jobs/${id}/receipt`]: async () => {
      const honest = await honestFields(submission);
      const fields = lies.fields?.(honest) ?? honest;
      const receipt = await signReceipt(fields, lies.signer ?? NODE);
      return lies.receipt?.(receipt) ?? receipt;
    },
  };
  const server = Deno.serve({ path, onListen: () => {} }, async (request) => {
    // The daemon has every blob that it is asked for.
    if (request.method === "HEAD") return new Response();
    const answer = await answers[new URL(request.url).pathname]!(request);
    return answer instanceof Response ? answer : new Response(`${JSON.stringify(answer)}\n`);
  });
  return { [Symbol.asyncDispose]: () => server.shutdown() };
}
