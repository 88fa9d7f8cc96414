/**
 * The tools that run a job: `run_module`, `run_remote` and `run_python`.
 *
 * @module
 */
import { type CallToolResult, fromJsonSchema, type McpServer } from "@modelcontextprotocol/server";
import { PlasmError } from "../core/errors/mod.ts";
import type { JobInputs, JobStatus, Manifest, Receipt } from "../core/mod.ts";
import type { RemoteJobResult } from "../remote/mod.ts";
import { describeJob, JOB_PROPERTIES, type JobArguments } from "./job_arguments.ts";
import { resultUri } from "./result_store.ts";
import type { McpNetwork, McpRunner } from "./runner.ts";
import { answer, callTool } from "./tool_result.ts";

/** Most bytes of standard output, and of standard error, in a result; all of it is a resource. */
const MAX_INLINE_BYTES = 32 * 1024;

const MODULE_PROPERTY = {
  module: {
    type: "string",
    description: "Path in a served directory, https://…, oci://…, or sha256:… of the module cache",
  },
};

const REMOTE_PROPERTIES = {
  peer: { type: "string", description: "Peer id or multiaddr of the node (default any node)" },
  arch: {
    type: "string",
    enum: ["x86_64", "aarch64"],
    description: "Processor architecture of the node (default any)",
  },
  agree: {
    type: "integer",
    minimum: 2,
    maximum: 5,
    description:
      "Run on this many nodes of distinct networks, and return what all of them agree on; use with deterministic",
  },
  attempts: {
    type: "integer",
    minimum: 1,
    maximum: 16,
    description: "Most nodes to try (default 3)",
  },
};

const RESULT_SCHEMA = fromJsonSchema({
  type: "object",
  required: ["status", "exit_code", "stdout", "stderr"],
  properties: {
    job_id: { type: "string" },
    status: {
      type: "string",
      description: "exited, or why the job ended: trap, timeout, memory, output, fuel, …",
    },
    exit_code: { type: ["integer", "null"] },
    message: { type: "string", description: "Why the job trapped, or which limit it exceeded" },
    stdout: { type: "string" },
    stderr: { type: "string" },
    stdout_bytes: { type: "integer" },
    stderr_bytes: { type: "integer" },
    stdout_base64: { type: "string", description: "Instead of stdout if that is not UTF-8" },
    stderr_base64: { type: "string", description: "Instead of stderr if that is not UTF-8" },
    truncated: {
      type: "boolean",
      description: "Whether stdout or stderr is cut; the resources have all of it",
    },
    outputs: {
      type: "array",
      items: {
        type: "object",
        properties: {
          path: { type: "string" },
          bytes: { type: "integer" },
          hash: { type: "string" },
          uri: { type: "string" },
        },
      },
    },
    usage: { type: "object" },
    fuel: { type: "integer" },
    nondeterminism: {
      type: "array",
      items: { type: "string" },
      description:
        "Sources other than its input that the job used; empty: anyone gets the same bytes",
    },
    manifest: { type: "object", description: "What the receipt was issued for; rerun needs it" },
    peer_id: { type: "string", description: "Node that ran the job, if it was another" },
  },
});

/** Adds the tools that the options of the command line allow. */
export function addJobTools(server: McpServer, runner: McpRunner): void {
  server.registerTool("run_module", {
    title: "Run a WebAssembly module",
    description:
      "Runs a WASI command in a sandbox on this machine. It sees its arguments, environment, standard input and " +
      "inputs, and nothing else: no network, no files of the machine. The result has output, output files as " +
      "resources, and a signed receipt in _meta.",
    inputSchema: jobSchema(["module"], MODULE_PROPERTY),
    outputSchema: RESULT_SCHEMA,
    annotations: { readOnlyHint: true, openWorldHint: false },
  }, (given, context) =>
    callTool(context, async (signal) => {
      const { module, name } = await runner.readModule(given.module!, { signal });
      return await runHere({ runner, given, signal }, module, { argv0: name });
    }));
  const { python, network } = runner.options;
  if (network !== undefined) {
    server.registerTool(
      "run_remote",
      {
        title: "Run a WebAssembly module on another node",
        description:
          "Runs a WASI command on a node of the network. The node sees the module and all its input. The receipt is " +
          "signed by the node and was verified against everything sent and received.",
        inputSchema: jobSchema(["module"], { ...MODULE_PROPERTY, ...REMOTE_PROPERTIES }),
        outputSchema: RESULT_SCHEMA,
        annotations: { readOnlyHint: true, openWorldHint: true },
      },
      (given, context) =>
        callTool(context, (signal) => runThere({ runner, given, signal }, network)),
    );
  }
  if (python !== undefined) {
    server.registerTool("run_python", {
      title: "Run Python code",
      description:
        "Runs Python code in a sandbox on this machine, with the standard library and no network. Prints are its " +
        "result. The receipt in _meta proves what ran.",
      inputSchema: jobSchema(["code"], { code: { type: "string", description: "Python source" } }),
      outputSchema: RESULT_SCHEMA,
      annotations: { readOnlyHint: true, openWorldHint: false },
    }, (given, context) =>
      callTool(context, async (signal) => {
        const { module, name } = await runner.readProgram(python.module, { signal });
        const { code = "", args = [], env = {}, ...rest } = given;
        const job = { ...rest, args: ["-c", code, ...args], env: { ...python.env, ...env } };
        return await runHere({ runner, given: job, signal }, module, {
          argv0: name,
          shared: python.inputs,
        });
      }));
  }
}

/** Arguments of all three tools. */
interface ToolArguments extends JobArguments {
  module?: string;
  code?: string;
  peer?: string;
  arch?: string;
  attempts?: number;
  agree?: number;
}

interface Call {
  runner: McpRunner;
  given: ToolArguments;
  signal: AbortSignal;
}

function jobSchema(
  required: string[],
  properties: Record<string, object>,
): ReturnType<typeof fromJsonSchema<ToolArguments>> {
  return fromJsonSchema<ToolArguments>({
    type: "object",
    additionalProperties: false,
    required,
    properties: { ...properties, ...JOB_PROPERTIES },
  });
}

async function runHere(
  { runner, given, signal }: Call,
  module: Uint8Array,
  options: { argv0: string | undefined; shared?: JobInputs },
): Promise<CallToolResult> {
  const { description, stdin } = await describeJob(given, {
    allowed: runner.allowed,
    maxBytes: runner.ceilings.fs_bytes,
    ...options,
  });
  const result = await runner.run(module, { ...description, stdin, signal });
  const { outcome: { status, exitCode, message, usage }, receipt } = result;
  return resultOf(runner, {
    ...result,
    receipt: receipt!,
    status,
    exitCode,
    message,
    usage: {
      wall_time_ms: usage.wallTimeMs,
      cpu_time_ms: usage.cpuTimeMs,
      memory_peak_bytes: usage.memoryPeakBytes,
    },
  });
}

async function runThere(
  { runner, given, signal }: Call,
  network: McpNetwork,
): Promise<CallToolResult> {
  const { module, name } = await runner.readModule(given.module!, { signal });
  const { description, stdin } = await describeJob(given, {
    allowed: runner.allowed,
    maxBytes: runner.ceilings.fs_bytes,
    argv0: name,
  });
  const { peer, arch, attempts, agree } = given;
  const options = {
    ...description,
    stdin,
    signal,
    criteria: { arch },
    bootstrap: await network.bootstrap(),
  };
  if (agree !== undefined) {
    if (peer !== undefined) {
      throw new PlasmError("usage", "Cannot use agree with peer: agreement needs several nodes");
    }
    const { runAgreed } = await import("../quorum/mod.ts");
    const { receipts, ...result } = await runAgreed(module, { ...options, agree });
    return remoteResult(runner, { ...result, receipt: receipts[0]! }, receipts);
  }
  const { runRemoteJob } = await import("../remote/mod.ts");
  return remoteResult(runner, await runRemoteJob(module, { ...options, peer, attempts }), []);
}

function remoteResult(
  runner: McpRunner,
  result: Omit<RemoteJobResult, "peerId" | "attempts">,
  receipts: readonly Receipt[],
): CallToolResult {
  const { claim: { status, exit_code }, run: { usage, node } } = result.receipt;
  const ended = { status, exitCode: exit_code, usage, message: undefined, peerId: node.peer_id };
  return resultOf(runner, { ...result, ...ended, receipts });
}

/** What the result of a tool is made of. */
interface FinishedJob {
  status: JobStatus;
  exitCode: number | null;
  message: string | undefined;
  stdout: Uint8Array;
  stderr: Uint8Array;
  outputs: ReadonlyMap<string, Uint8Array>;
  usage: object;
  manifest: Manifest;
  receipt: Receipt;
  peerId?: string;
  /** Receipts of all nodes that agree. @default {the one receipt} */
  receipts?: readonly Receipt[];
}

function resultOf(runner: McpRunner, job: FinishedJob): CallToolResult {
  const { stdout, stderr, receipt: { run: { job_id: jobId }, claim } } = job;
  const kept = new Map([["stdout", stdout], ["stderr", stderr]]);
  for (const [path, data] of job.outputs) {
    if (!path.endsWith("/")) kept.set(`outputs/${path}`, data);
  }
  runner.results.add(jobId, kept);
  const outputs = Object.entries(claim.outputs).map(([path, { bytes, hash }]) => ({
    path,
    bytes,
    hash,
    ...(path.endsWith("/") ? {} : { uri: resultUri(jobId, `outputs/${path}`) }),
  }));
  const truncated = [stdout, stderr].some(({ length }) => length > MAX_INLINE_BYTES);
  const links = [
    ...(["stdout", "stderr"] as const).filter((name) => job[name].length > MAX_INLINE_BYTES)
      .map((name) => ({ name, uri: resultUri(jobId, name) })),
    ...outputs.flatMap(({ path, uri }) => uri === undefined ? [] : [{ name: path, uri }]),
  ];
  return answer({
    job_id: jobId,
    status: job.status,
    exit_code: job.exitCode,
    ...(job.message === undefined ? {} : { message: job.message }),
    ...inline("stdout", stdout),
    ...inline("stderr", stderr),
    truncated,
    outputs,
    usage: job.usage,
    ...(claim.fuel === undefined ? {} : { fuel: claim.fuel }),
    nondeterminism: claim.nondeterminism,
    manifest: job.manifest,
    ...(job.peerId === undefined ? {} : { peer_id: job.peerId }),
  }, {
    meta: {
      "plasm/receipt": job.receipt,
      ...(job.receipts?.length ? { "plasm/receipts": job.receipts } : {}),
    },
    content: links.map((link) => ({ type: "resource_link", ...link })),
  });
}

/** The start of a stream as text, or as base64 if it is not UTF-8. */
function inline(name: string, data: Uint8Array): Record<string, unknown> {
  const part = data.subarray(0, MAX_INLINE_BYTES);
  const bytes = { [`${name}_bytes`]: data.length };
  try {
    // A character that the limit splits is left out; the decoder waits for its rest.
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const text = decoder.decode(part, { stream: part.length < data.length });
    return { [name]: text, ...bytes };
  } catch {
    return { [name]: "", [`${name}_base64`]: part.toBase64(), ...bytes };
  }
}
