/**
 * Runs each exported function that opens something as a program in an empty project: the program must exit without
 * `Deno.exit()`, pass the sanitizers, and need exactly the permissions of docs/library.md.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { DaemonProcess } from "../fixtures/daemon/daemon_process.ts";
import { emptyProject, type ProgramResult, type Project } from "../fixtures/library/project.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const ROOT = new URL("../../", import.meta.url);
const HELLO = (await Deno.readFile(new URL("examples/hello/hello.wasm", ROOT))).toBase64();

/** Start of every program. */
const PRELUDE = `const module = Uint8Array.fromBase64("${HELLO}");
const stdin = new TextEncoder().encode("Hello, World");
const show = (bytes: Uint8Array): void => console.log(new TextDecoder().decode(bytes));
`;

/** A program of one row of the table. */
interface Program {
  /** Functions that it uses, by their names in the table. */
  uses: readonly string[];
  text: string;
  /** Values of the placeholders in the table's permissions. @default {{}} */
  where?: Record<string, string>;
  /** Its standard output. @default {the output of the example job} */
  stdout?: string;
  /** Whether another program of the same row shows that fewer permissions are too few. @default {false} */
  isVariant?: boolean;
}

const OUTPUT = "dlroW ,olleH\n";

/** The table of docs/library.md: first cell → permissions. */
async function permissionTable(): Promise<Map<string, string[]>> {
  const text = await Deno.readTextFile(new URL("docs/library.md", ROOT));
  const section = text.split("## Permissions")[1]!.split("\n## ")[0]!;
  const rows = [...section.matchAll(/^\| (`.*?) +\| (.*?) +\|$/gm)];
  return new Map(rows.map(([, functions, permissions]) => [
    functions!,
    [...permissions!.matchAll(/`([^`]+)`/g)].map(([, flag]) => flag!),
  ]));
}

const TABLE = await permissionTable();

/** Permissions of the row that starts with a text. */
function permissionsOf(row: string, where: Record<string, string> = {}): string[] {
  const [, flags] = [...TABLE].find(([functions]) => functions.includes(row))!;
  const [major, minor] = Deno.version.deno.split(".").map(Number);
  const isOld = major! < 2 || (major === 2 && minor! < 9);
  return flags.map((flag) => {
    const known = isOld ? flag.replace(",unix:SOCKET", "") : flag;
    return known.replace(/SOCKET|PORT|DIR/g, (name) => where[name]!);
  });
}

/** Each flag without one of its values, or nothing if it has one value. */
function weaker(flags: readonly string[]): string[][] {
  return flags.flatMap((flag, at) => {
    const [name, value = ""] = flag.split("=");
    const values = value.split(",");
    const rest = (kept: string[]) => [...flags.slice(0, at), ...kept, ...flags.slice(at + 1)];
    if (values.length === 1) return [rest([])];
    return values.map((one) => rest([`${name}=${values.filter((other) => other !== one)}`]));
  });
}

const PROGRAMS: Record<string, Program> = {
  "functions without permissions": {
    uses: ["createManifest"],
    text: `
import {
  createManifest, ephemeralIdentity, hashInputs, parseManifest, sha256, verifyReceipt,
} from "@plasm/plasm";
const inputs = await hashInputs({ a: stdin });
const manifest = createManifest({ module_hash: await sha256(module), inputs });
parseManifest(JSON.stringify(manifest));
const { publicKey } = await ephemeralIdentity();
await verifyReceipt({}, { key: publicKey }).catch(({ code }) => console.log(code));`,
    stdout: "bad-receipt\n",
  },
  runJob: {
    uses: ["runJob"],
    text: `
import { ephemeralIdentity, runJob, verifyReceipt } from "@plasm/plasm";
const signer = await ephemeralIdentity();
const { stdout, receipt, manifest } = await runJob(module, {
  args: ["a"], env: { A: "1" }, inputs: { "d/a.txt": stdin }, resources: { memory_mb: 32 }, stdin, signer,
});
await verifyReceipt(receipt, { key: signer.publicKey, manifest, module, stdin, stdout });
show(stdout);`,
  },
  streamJob: {
    uses: ["streamJob"],
    text: `
import { streamJob } from "@plasm/plasm";
for await (const event of streamJob(module, { stdin: new Blob([stdin]).stream() })) {
  if (event.type === "stdout") show(event.data);
}
for await (const _ of streamJob(module, { stdin })) break;`,
  },
  "runJob and streamJob with a signal that aborts": {
    uses: ["runJob"],
    text: `
import { PlasmError, runJob, streamJob } from "@plasm/plasm";
const report = (error: unknown): void => console.log(error instanceof PlasmError && error.code);
for (const reason of [undefined, new Error("own"), "text"]) {
  await runJob(module, { signal: AbortSignal.abort(reason) }).catch(report);
  const running = new AbortController();
  const endless = new ReadableStream<Uint8Array>();
  try {
    for await (const { type } of streamJob(module, { stdin: endless, signal: running.signal })) {
      if (type === "started") running.abort(reason);
    }
  } catch (error) {
    report(error);
  }
}
`,
    stdout: "interrupted\n".repeat(6),
    isVariant: true,
  },
  Executor: {
    uses: ["Executor"],
    text: `
import { runJob } from "@plasm/plasm";
import { Executor } from "@plasm/plasm/executor";
await using executor = new Executor();
show((await runJob(module, { stdin, executor })).stdout);`,
  },
  ExecutorPool: {
    uses: ["ExecutorPool"],
    text: `
import { runJob } from "@plasm/plasm";
import { ExecutorPool } from "@plasm/plasm/executor";
await using pool = new ExecutorPool();
const executor = await pool.acquire();
show((await runJob(module, { stdin, executor })).stdout);
pool.release(executor);`,
  },
  loadOrCreateIdentity: {
    uses: ["loadOrCreateIdentity"],
    text: `
import { loadOrCreateIdentity } from "@plasm/plasm";
const { peerId } = await loadOrCreateIdentity(Deno.args[0]!);
console.log(peerId === (await loadOrCreateIdentity(Deno.args[0]!)).peerId);`,
    stdout: "true\n",
  },
  runRemoteJob: {
    uses: ["runRemoteJob"],
    text: `
import { runRemoteJob } from "@plasm/plasm";
const { stdout } = await runRemoteJob(module, {
  args: ["a"], inputs: { "d/a.txt": stdin }, bootstrap: [Deno.args[0]!], stdin,
});
show(stdout);`,
  },
  "runRemoteJob with a signal that aborts": {
    uses: ["runRemoteJob"],
    text: `
import { PlasmError, runRemoteJob } from "@plasm/plasm";
const running = new AbortController();
for (const [signal, onEvent] of [
  [AbortSignal.abort(new Error("own"))],
  [AbortSignal.timeout(1)],
  [running.signal, () => running.abort("text")],
] as [AbortSignal, undefined | (() => void)][]) {
  await runRemoteJob(module, { bootstrap: [Deno.args[0]!], stdin, signal, onEvent })
    .catch((error) => console.log(error instanceof PlasmError && error.code));
}`,
    stdout: "interrupted\n".repeat(3),
    isVariant: true,
  },
  "DaemonClient with a socket": {
    uses: ["`DaemonClient` with a socket"],
    text: `
import { connectDaemon } from "@plasm/plasm";
using client = connectDaemon({ socket: Deno.args[0]! });
const job = { args: ["a"], inputs: { "d/a.txt": stdin }, resources: { memory_mb: 32 }, stdin };
show((await client.run(module, job)).stdout);
const { id } = await client.submit(module, job);
for await (const _ of client.follow(id));
for await (const event of client.pipe(module, job)) if (event.type === "stdout") show(event.data);`,
    stdout: OUTPUT + OUTPUT,
  },
  "DaemonClient with a URL": {
    uses: ["`DaemonClient` with a URL"],
    text: `
import { DaemonClient } from "@plasm/plasm";
using client = new DaemonClient({ url: Deno.args[0]!, token: Deno.args[1]! });
show((await client.run(module, { stdin })).stdout);
for await (const event of client.pipe(module, { stdin })) if (event.type === "stdout") show(event.data);`,
    stdout: OUTPUT + OUTPUT,
  },
};

/** Programs that are not disposed, and need no sanitizers. */
const UNDISPOSED: Record<string, Program> = {
  "DaemonClient that is not disposed": {
    uses: ["`DaemonClient` with a socket"],
    text: `
import { connectDaemon } from "@plasm/plasm";
const client = connectDaemon({ socket: Deno.args[0]! });
show((await client.run(module, { stdin })).stdout);
for await (const _ of client.pipe(module, { stdin })) break;`,
  },
};

/** Runs a program in a project, and what the table's row allows. */
async function check(
  project: Project,
  { uses, text, stdout = OUTPUT, isVariant = false }: Program,
  { args, where, sanitize = true }: {
    args: string[];
    where: Record<string, string>;
    sanitize?: boolean;
  },
): Promise<void> {
  await project.write("program.ts", PRELUDE + text);
  const run = async (flags: string[]): Promise<ProgramResult> => {
    if (where["DIR"]) await Deno.remove(where["DIR"], { recursive: true }).catch(() => {});
    return await project.deno(["run", "--quiet", "--no-prompt", ...flags, "program.ts", ...args]);
  };
  const flags = permissionsOf(uses[0]!, where);
  const result = await run(flags);
  assertEquals(result.code, 0, `${result.stdout}${result.stderr}`);
  assertEquals(result.stdout, stdout);
  if (!sanitize) return;
  for (const fewer of isVariant ? [] : weaker(flags)) {
    const limited = await run(fewer);
    assert(limited.code !== undefined, "does not exit");
    assert(
      limited.code !== 0 || limited.stdout !== stdout,
      `runs also with ${fewer.join(" ") || "nothing"}`,
    );
  }
  await project.write(
    "program_test.ts",
    `Deno.test({
  name: "program", sanitizeOps: true, sanitizeResources: true, sanitizeExit: true,
  fn: async () => void await import("./program.ts"),
});`,
  );
  const tested = await project.deno(
    ["test", "--quiet", "--no-check", "--no-prompt", ...flags, "program_test.ts", "--", ...args],
  );
  assertEquals(tested.code, 0, `${tested.stdout}${tested.stderr}`);
}

/** A TCP port that is free at the moment. */
function freePort(): string {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return `${listener.addr.port}`;
}

Deno.test("an empty project imports the library as docs/library.md says, with its types", async () => {
  await using project = await emptyProject();
  await project.write("program.ts", PRELUDE + PROGRAMS["runJob"]!.text);
  await project.write(
    "others.ts",
    `import { verifyReceipt } from "@plasm/plasm/verify";
import { ExecutorPool } from "@plasm/plasm/executor";
console.log(typeof verifyReceipt, typeof ExecutorPool);`,
  );
  const checked = await project.deno(["check", "--quiet", "program.ts", "others.ts"]);
  assertEquals(checked.code, 0, checked.stderr);
  const { stdout } = await project.deno(["run", "--quiet", "others.ts"]);
  assertEquals(stdout, "function function\n");
});

Deno.test("every row of the table of permissions has a program", () => {
  const uses = Object.values(PROGRAMS).flatMap((program) => program.uses);
  for (const row of TABLE.keys()) {
    assert(uses.some((name) => row.includes(name)), row);
  }
  assertEquals(TABLE.size, 6);
});

Deno.test("programs that use no daemon exit, pass the sanitizers and need only their permissions", async (t) => {
  await using project = await emptyProject();
  const dir = `${project.path}/identity`;
  for (const [name, program] of Object.entries(PROGRAMS)) {
    const { uses: [first] } = program;
    if (/Daemon|Remote/.test(first!)) continue;
    await t.step(name, () => check(project, program, { args: [dir], where: { DIR: dir } }));
  }
});

Deno.test("programs that use a daemon or a node exit, pass the sanitizers and need only their permissions", async (t) => {
  await using temp = await tempDir();
  await using project = await emptyProject();
  const PORT = freePort();
  await using daemon = await DaemonProcess.start({
    dir: temp.path,
    set: {
      "network.enabled": "true",
      "network.listen": "/ip4/127.0.0.1/tcp/0",
      "api.tcp.listen": `127.0.0.1:${PORT}`,
    },
  });
  const started = await daemon.untilLine(({ address }) => `${address}`.includes("/p2p/"));
  const bootstrap = `${started["address"]}`.split(" ")[0]!;
  const token = (await Deno.readTextFile(`${temp.path}/state/api.token`)).trim();
  const { socket: SOCKET } = daemon;
  for (const [name, program] of Object.entries(PROGRAMS)) {
    const { uses: [first] } = program;
    if (!/Daemon|Remote/.test(first!)) continue;
    const args = first === "runRemoteJob"
      ? [bootstrap]
      : first!.includes("URL")
      ? [`http://127.0.0.1:${PORT}`, token]
      : [SOCKET];
    await t.step(name, () => check(project, program, { args, where: { SOCKET, PORT } }));
  }
  for (const [name, program] of Object.entries(UNDISPOSED)) {
    await t.step(
      name,
      () => check(project, program, { args: [SOCKET], where: { SOCKET }, sanitize: false }),
    );
  }
});

Deno.test("connectDaemon() needs no access to the environment", async () => {
  await using project = await emptyProject();
  await project.write(
    "program.ts",
    `import { connectDaemon } from "@plasm/plasm";
try {
  connectDaemon();
} catch ({ name, message }) {
  console.log(name, message);
}`,
  );
  const { stdout } = await project.deno(["run", "--quiet", "--no-prompt", "program.ts"]);
  assertStringIncludes(stdout, 'NotCapable Requires read access to "/run/plasm/plasm.sock"');
});
