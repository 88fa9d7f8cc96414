/**
 * Runs examples/remote_test.php against real daemons that discover each other, and against a dishonest daemon.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { identityFromSecretKey } from "../../lib/core/identity.ts";
import { type Capability, signCapability } from "../../lib/p2p/discovery/capability.ts";
import { DaemonProcess, environment } from "../fixtures/daemon/daemon_process.ts";
import { FIELDS } from "../fixtures/p2p/identities.ts";
import { type FalseStatements, serveDishonestDaemon } from "../fixtures/php_dishonest_daemon.ts";
import { php, type PhpResult, whyNoPhp } from "../fixtures/php.ts";
import { plasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";
import {
  addedFields,
  changedFields,
  droppedFields,
  withValue,
} from "../fixtures/receipt_mutations.ts";

const reason = await whyNoPhp();
if (reason !== undefined) console.warn(`SKIPPED: PHP remote jobs: ${reason}`);

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: reason !== undefined, fn });
}

const NETWORK = {
  "network.enabled": "true",
  "network.listen": "/ip4/127.0.0.1/tcp/0",
  "network.mdns": "false",
  "network.upnp": "false",
};

const OUTPUT =
  /^node +(12D3KooW\w{44}) \(\w+, direct\)\nkey +([0-9a-f]{64})\njob +job_[a-z2-7]{26}\noutput +dlroW ,olleH\nexit code +0\nwall time +\d+ ms\nreceipt verified\n$/;

function runExample(socket: string): Promise<PhpResult> {
  return php(["examples/remote_test.php"], { env: { PLASM_SOCKET: socket } });
}

test("examples/remote_test.php runs a job on a discovered node", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const start = async (
    name: string,
    { bootstrap = "", provide }: { bootstrap?: string; provide: boolean },
  ): Promise<DaemonProcess> => {
    await Deno.mkdir(`${dir}/${name}`);
    const set = { ...NETWORK, "network.bootstrap": bootstrap, "network.provide": `${provide}` };
    return await DaemonProcess.start({ dir: `${dir}/${name}`, set });
  };
  const call = async (name: string, command: string) =>
    JSON.parse((await plasm([command, "--json"], { env: environment(`${dir}/${name}`) })).stdout);

  await using entry = await start("entry", { provide: false });
  assert(entry.log.length > 0);
  const bootstrap = (await call("entry", "status")).network.addresses[0];
  await using worker = await start("worker", { bootstrap, provide: true });
  assert(worker.log.length > 0);
  await using asker = await start("asker", { bootstrap, provide: false });

  const { code, stdout, stderr } = await runExample(asker.socket);
  assertEquals({ code, stderr }, { code: 0, stderr: "" }, stdout);
  assertMatch(stdout, OUTPUT);
  const { peer_id, public_key } = await call("worker", "id");
  assertEquals(OUTPUT.exec(stdout)?.slice(1), [peer_id, public_key]);
});

test("examples/remote_test.php reports a disabled network", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using daemon = await DaemonProcess.start({ dir });
  const { code, stdout, stderr } = await runExample(daemon.socket);
  assertEquals({ code, stdout }, { code: 1, stdout: "" });
  assertStringIncludes(stderr, "disabled: Cannot reach peers: the network is off");
});

async function runAgainst(statements: FalseStatements): Promise<PhpResult> {
  await using temp = await tempDir();
  const dir = temp.path;
  await using _daemon = serveDishonestDaemon(`${dir}/plasm.sock`, statements);
  return await runExample(`${dir}/plasm.sock`);
}

/** Asserts that the example fails with this error and prints neither output nor "verified"; returns its output. */
async function assertRefused(
  name: string,
  statements: FalseStatements,
  error: string,
): Promise<string> {
  const { code, stdout, stderr } = await runAgainst(statements);
  assertEquals(code, 1, `${name}: ${stdout}${stderr}`);
  assert(!/output|verified/.test(stdout), `${name}: ${stdout}`);
  assert(stderr.startsWith(error), `${name}: ${stderr}`);
  return stdout;
}

const other = await identityFromSecretKey(new Uint8Array(32).fill(2));

test("examples/remote_test.php accepts an honest result", async () => {
  const { code, stdout, stderr } = await runAgainst({});
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  assertMatch(stdout, OUTPUT);
});

test("examples/remote_test.php rejects a receipt with any field changed, removed or added", async () => {
  let names: string[] = [];
  const all = (receipt: Parameters<typeof changedFields>[0]) => [
    ...changedFields(receipt),
    ...droppedFields(receipt),
    ...addedFields(receipt).filter(({ name }) => name.startsWith("extra")),
  ];
  await runAgainst({
    receipt: (receipt) => {
      names = all(receipt).map(({ name }) => name);
      return receipt;
    },
  });
  assert(names.length > 40, `${names.length} mutations`);
  for (const [index, name] of names.entries()) {
    const receipt: FalseStatements["receipt"] = (honest) => all(honest)[index]!.receipt;
    await assertRefused(name, { receipt }, "bad-receipt: Cannot trust receipt: ");
  }
});

test("examples/remote_test.php rejects a receipt of another node, job or output", async () => {
  const trust = "bad-receipt: Cannot trust receipt:";
  await assertRefused("other node", { signer: other }, `${trust} run.node.public_key is`);
  const hash = `sha256:${"0".repeat(64)}`;
  const changes = {
    "run.nonce": "ab".repeat(32),
    "claim.manifest_hash": hash,
    "claim.module_hash": hash,
    "claim.stdin_hash": hash,
    "claim.stdout.hash": hash,
    "claim.stdout.bytes": 13,
    "claim.stderr.hash": hash,
    "claim.stderr.bytes": 1,
    "claim.profile": "deterministic",
  };
  for (const [field, value] of Object.entries(changes)) {
    const fields: FalseStatements["fields"] = (honest) =>
      withValue(honest, field.split("."), value);
    await assertRefused(`signed ${field}`, { fields }, `${trust} ${field} is`);
  }
  for (const stdout of ["dlroW ,olleh", "dlroW ,olle", "dlroW ,olleH\n", ""]) {
    await assertRefused(`stdout ${stdout}`, { stdout }, `${trust} claim.stdout.hash is`);
  }
  await assertRefused("stderr", { stderr: "x" }, `${trust} claim.stderr.hash is`);
});

test("examples/remote_test.php submits nothing to a node with an invalid capability document", async () => {
  const withDocument = (change: (document: Capability) => unknown): FalseStatements => ({
    node: (node) => ({ ...node, capability: change(node.capability) }),
  });
  const theirs = await signCapability(FIELDS, {
    signer: other,
    seq: 1,
    addresses: [],
    issuedAt: Date.UTC(2026, 0, 2),
    validityMs: 60_000,
  });
  const { publicKey: public_key, peerId: peer_id } = other;
  const cases: [string, FalseStatements, string][] = [
    [
      "key swapped",
      withDocument((one) => ({ ...one, node: { ...one.node, public_key } })),
      "node.peer_id is",
    ],
    [
      "peer id swapped",
      withDocument((one) => ({ ...one, node: { ...one.node, peer_id } })),
      "node.peer_id is",
    ],
    ["found peer id swapped", { node: (node) => ({ ...node, peer_id }) }, "node.peer_id is"],
    ["another node's document", withDocument(() => theirs), "node.peer_id is"],
    [
      "both swapped, old signature",
      {
        node: (node) => ({
          ...node,
          peer_id,
          capability: { ...node.capability, node: theirs.node },
        }),
      },
      "signature is not by",
    ],
    ["more cores", withDocument((one) => ({ ...one, cpu_cores: 64 })), "signature is not by"],
    ["no signature", withDocument(({ signature: _, ...rest }) => rest), "signature is missing"],
    ["no WASI", withDocument((one) => ({ ...one, wasi: [] })), "wasi must have at least 1"],
  ];
  for (const [name, statements, why] of cases) {
    const shown = await assertRefused(
      name,
      statements,
      `protocol: Cannot trust capability: ${why}`,
    );
    assertEquals(shown, "", "neither node nor job");
  }

  // Consistent but from a different node: then that node's key is the pinned one.
  const otherNode: FalseStatements = { node: (node) => ({ ...node, peer_id, capability: theirs }) };
  await assertRefused(
    "other node",
    otherNode,
    "bad-receipt: Cannot trust receipt: run.node.public_key is",
  );
  assertEquals((await runAgainst({ ...otherNode, signer: other })).code, 0);
});
