/**
 * Tests the confinement of an executor's process, as the kernel reports it and by a probe started in its place.
 *
 * @module
 */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { confineCommand, probeConfinement } from "../../lib/sandbox/host/spawn/confinement.ts";
import { Executor } from "../../lib/sandbox/host/executor.ts";
import { executorCommand } from "../../lib/sandbox/host/spawn/spawn_executor.ts";
import { EXECUTOR_COMMAND } from "../../lib/sandbox/bootstrap/mod.ts";
import {
  canInspect,
  inspectProcess,
  type ProcessFacts,
} from "../fixtures/hostile/process_inspection.ts";
import type { ProbeReport } from "../fixtures/hostile/permission_probe.ts";

const MEMORY_BYTES = 2 ** 30;

/** Compiled program to inspect instead of the source. */
const BINARY = Deno.env.get("PLASM_BINARY");

const PROBE = decodeURIComponent(
  new URL("../fixtures/hostile/permission_probe.ts", import.meta.url).pathname,
);

/** Whether the tests are skipped because processes cannot be inspected on this system; prints a warning. */
async function skipped(): Promise<boolean> {
  if (probeConfinement() !== undefined && await canInspect()) return false;
  console.warn("SKIPPED: util-linux, findutils or /proc is missing");
  return true;
}

/** Runs an executor from source, or of the binary in `PLASM_BINARY`. */
async function startExecutor(): Promise<{ pid: number } & AsyncDisposable> {
  if (BINARY === undefined) {
    const executor = new Executor({ maxMemoryBytes: MEMORY_BYTES });
    await executor.ready();
    return executor;
  }
  const [path, ...args] = confineCommand(probeConfinement()!, { dataBytes: MEMORY_BYTES });
  const child = new Deno.Command(path!, {
    args: [...args, BINARY, EXECUTOR_COMMAND],
    clearEnv: true,
    cwd: "/",
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  return {
    pid: child.pid,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await reader.cancel();
      await child.stdin.close().catch(() => {});
      await child.status;
    },
  };
}

function assertConfined(facts: ProcessFacts): void {
  assertEquals(facts.cwd, "/");
  assertEquals(facts.environment, []);
  assertEquals(facts.status.get("NoNewPrivs"), "1");
  assertEquals(facts.oomScore, 1000);
  const limit = (name: string): string[] | undefined => facts.limits.get(name);
  assertEquals(limit("Max core file size"), ["0", "0"]);
  assertEquals(limit("Max open files"), ["64", "64"]);
  assertEquals(limit("Max data size"), [`${2 ** 32}`, `${2 ** 32}`]);
  assertNotEquals(limit("Max cpu time")?.[1], "unlimited");
  // Pipes to the parent and the event loop's descriptors; from source also Deno's caches; no other file or socket.
  const expected = BINARY === undefined
    ? /^(pipe:|anon_inode:|unix:pair$)|_cache_v\d+(-wal|-shm|-journal)?$/
    : /^(pipe:|anon_inode:|unix:pair$)/;
  for (const [fd, target] of facts.descriptors) {
    assert(expected.test(target), `descriptor ${fd} is ${target}`);
  }
}

Deno.test("an executor has no environment, directory, privileges or files", async () => {
  if (await skipped()) return;
  await using executor = await startExecutor();
  assertConfined(await inspectProcess(executor.pid));
});

Deno.test("an executor has only an inactive loopback interface and no capabilities", async () => {
  if (await skipped()) return;
  if (!probeConfinement()!.namespaces) {
    console.warn("SKIPPED: the system denies namespaces");
    return;
  }
  await using executor = await startExecutor();
  const { ownNamespaces, interfaces, status, limits } = await inspectProcess(executor.pid);
  assertEquals(ownNamespaces, ["user", "net", "ipc"]);
  assertEquals(interfaces, ["lo"]);
  assertEquals(limits.get("Max processes"), ["256", "256"]);
  // See ConfineOptions.keepUser.
  if (BINARY === undefined && Deno.uid() === 0) return;
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) {
    assertEquals(Number(`0x${status.get(set)}`), 0, set);
  }
});

Deno.test("an executor inherits no descriptor of the program that started its node", async () => {
  if (await skipped()) return;
  if (!probeConfinement()!.closes) {
    console.warn("SKIPPED: bash is missing");
    return;
  }
  const inherited = async (closes: boolean): Promise<string[]> => {
    const prefix = confineCommand({ ...probeConfinement()!, closes }, { dataBytes: MEMORY_BYTES });
    const list = [...prefix, "/usr/bin/find", "/proc/self/fd", "-type", "l", "-printf", "%f=%l\\n"];
    const { stdout } = await new Deno.Command("bash", {
      // Without close-on-exec, like a redirection of a shell.
      args: ["-c", 'exec 7</etc/passwd 60</etc/passwd; exec "$@"', "bash", ...list],
    }).output();
    return new TextDecoder().decode(stdout).split("\n").filter((line) => line.includes("passwd"));
  };
  assertEquals(await inherited(false), ["7=/etc/passwd", "60=/etc/passwd"]);
  assertEquals(await inherited(true), []);
});

/** Runs the probe in place of an executor, with additional flags; reports before and after it drops permissions. */
async function probe(
  flags: string[] = [],
): Promise<{ before: ProbeReport; after: ProbeReport }> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [path, ...args] = executorCommand({ maxMemoryBytes: MEMORY_BYTES }).slice(0, -1);
  const { stdout, stderr } = await new Deno.Command(path!, {
    args: [...args, ...flags, PROBE, String((listener.addr as Deno.NetAddr).port)],
    clearEnv: true,
    cwd: "/",
  }).output();
  assertEquals(new TextDecoder().decode(stderr), "");
  const [before, after] = JSON.parse(new TextDecoder().decode(stdout));
  return { before, after };
}

const DENIED = {
  "read /etc/hostname": "NotCapable",
  "write to /tmp": "NotCapable",
  "read the environment": "NotCapable",
  "run a program": "NotCapable",
  listen: "NotCapable",
  "name the host": "NotCapable",
  "load a library": "NotCapable",
  connect: "NotCapable",
  "import a module": "TypeError",
};

Deno.test("an executor may read its own code only, and nothing after it drops permissions", async () => {
  const { before, after } = await probe();
  assertEquals(before, { granted: [], attempts: { "read plasm's code": "done", ...DENIED } });
  assertEquals(after, { granted: [], attempts: { "read plasm's code": "NotCapable", ...DENIED } });
});

Deno.test("an executor reaches no network when it has network permission", async () => {
  if (probeConfinement()?.namespaces !== true) {
    console.warn("SKIPPED: the system denies namespaces");
    return;
  }
  const { before, after } = await probe(["--allow-net"]);
  assertEquals(before.granted, ["net"]);
  assertEquals(before.attempts.connect, "NetworkUnreachable");
  assertEquals(after.granted, []);
  assertEquals(after.attempts.connect, "NotCapable");
});
