import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { verifyReceipt } from "../../../lib/core/verify_receipt.ts";
import { command } from "../../fixtures/hostile/case.ts";
import { assemble } from "../../fixtures/hostile/wat.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";
import { plasm, spawnPlasm } from "../../fixtures/plasm.ts";
import { HELLO, padded, type RealNode, realNode } from "../../fixtures/remote/real_node.ts";

const MODULE_BYTES = 48 * 2 ** 20;
/** Bytes of the module after which the client is killed. */
const KILL_AT_BYTES = 2 ** 20;
const TIMEOUT_MS = 60_000;

/** Polls until a condition holds. */
async function until(condition: () => boolean): Promise<void> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  while (!condition()) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Size of incomplete content, in bytes. */
function incompleteBytes(dir: string): number {
  let bytes = 0;
  for (const { name } of Deno.readDirSync(dir)) {
    if (name.endsWith(".tmp")) bytes += Deno.statSync(`${dir}/${name}`).size;
  }
  return bytes;
}

/** Starts a client, kills it once `isTime`, and runs the same command again. */
async function killAndResume(
  { dir, bootstrap }: RealNode,
  { module, options, isTime }: {
    module: Uint8Array;
    options: string[];
    isTime: () => boolean;
  },
) {
  await Deno.writeFile(`${dir}/job.wasm`, module);
  const ticket = `${dir}/ticket.json`;
  const remote = ["exec", "--remote", "--bootstrap", bootstrap[0]!, "--ticket", ticket, "--json"];
  const args = [...remote, ...options, `${dir}/job.wasm`];
  const env = { PLASM_STATE_DIR: `${dir}/client` };
  const child = spawnPlasm(args, { env });
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("Hello, World"));
  await writer.close();
  const ended = child.output();
  await until(isTime);
  child.kill("SIGKILL");
  await ended;
  const { jobId } = JSON.parse(await Deno.readTextFile(ticket)).ticket;
  assertEquals((await Deno.stat(ticket)).mode! & 0o777, 0o600);
  const other = await plasm(args, { env, stdin: "Hello, World!" });
  assertEquals(other.code, 2);
  assertStringIncludes(other.stderr, "another job, whose stdin_hash is");
  const { code, stdout, stderr } = await plasm(args, { env, stdin: "Hello, World" });
  const result = JSON.parse(stdout || "{}");
  assertEquals(result.receipt?.run.job_id, jobId, stderr);
  assert(!Deno.readDirSync(dir)[Symbol.iterator]().some(({ name }) => name === "ticket.json"));
  return { code, result };
}

Deno.test(
  "exec --remote --ticket resumes a transfer when the client was killed",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const module = padded(HELLO, MODULE_BYTES);
    const { code, result } = await killAndResume(node, {
      module,
      options: [],
      isTime: () => incompleteBytes(`${node.dir}/state/blobs`) >= KILL_AT_BYTES,
    });
    assertEquals({ code, stdout: result.stdout }, { code: 0, stdout: "dlroW ,olleH" });
    const [attempt, ...others] = result.attempts;
    assertEquals(others, []);
    assert(attempt.sentBytes < module.length - KILL_AT_BYTES / 2, `${attempt.sentBytes}`);
    const stdin = new TextEncoder().encode("Hello, World");
    await verifyReceipt(result.receipt, { peerId: node.daemon.identity.peerId, module, stdin });
  },
);

Deno.test(
  "exec --remote --ticket returns the result when the client was killed while the job ran",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const module = await assemble(command("(loop $again (br $again))"));
    const { code, result } = await killAndResume(node, {
      module,
      options: ["--timeout", "3"],
      isTime: () => node.store.counts().running > 0,
    });
    assertEquals({ code, status: result.status, sentBytes: result.attempts[0].sentBytes }, {
      code: 124,
      status: "timeout",
      sentBytes: 0,
    });
  },
);
