/**
 * Exhausts a daemon's descriptors and disk and moves its clock: it continues or reports the reason, retains accepted
 * jobs and recovers without intervention.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { connectDaemon, type DaemonClient } from "../../lib/client/mod.ts";
import { PlasmError } from "../../lib/core/errors/errors.ts";
import { verifyReceipt } from "../../lib/core/verify_receipt.ts";
import { command, SPIN, write } from "../fixtures/sandbox_jobs.ts";
import { programCommand } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";
import { testDaemon } from "../fixtures/daemon/harness.ts";
import { DaemonProcess } from "../fixtures/daemon/daemon_process.ts";

/** Below a daemon's needs: it uses about 45. */
const DESCRIPTORS = 128;

/** More connections than that limit. */
const CONNECTIONS = 300;

/** Size of the in-memory file system used as the disk. */
const DISK_MB = 24;

const DAY_MS = 86_400_000;

const HELLO = await command(write(1, 5));

async function runHello(client: DaemonClient): Promise<void> {
  const { id } = await client.submit(HELLO);
  const { job, stdout, receipt } = await client.result(id);
  assertEquals({ status: job.status, stdoutLength: stdout.length }, {
    status: "exited",
    stdoutLength: 5,
  });
  await verifyReceipt(receipt, { module: HELLO, stdout, nonce: job.nonce });
}

/** Retries until it succeeds; limited by the test's timeout. */
async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  while (true) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof PlasmError)) throw error;
    }
  }
}

Deno.test("a daemon serves again after it ran out of descriptors", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const program = ["/usr/bin/prlimit", `--nofile=${DESCRIPTORS}`, "--", ...programCommand()];
  await using daemon = await DaemonProcess.start({ dir, program });
  using client = connectDaemon({ socket: daemon.socket });
  await runHello(client);
  const accepted = await client.submit(await command(SPIN), {
    manifest: { resources: { timeout_seconds: 2 } },
  });
  const connections: Deno.Conn[] = [];
  for (let i = 0; i < CONNECTIONS; i++) {
    try {
      const conn = await Deno.connect({ transport: "unix", path: daemon.socket });
      connections.push(conn);
      await conn.write(new TextEncoder().encode("GET /health HTTP/1.1\r\nHost: x\r\n"));
    } catch { /* backlog full, or closed for lack of a descriptor */ }
  }
  assert(connections.length > DESCRIPTORS);
  // Connections that were not accepted wait in the kernel; this is one of them.
  using another = connectDaemon({ socket: daemon.socket });
  const waiting = another.version().then(() => "answered", () => "refused");
  for (const conn of connections) conn.close();
  assert(["answered", "refused"].includes(await waiting));
  await eventually(() => runHello(client));
  assertEquals((await client.result(accepted.id)).job.status, "timeout");
  assertEquals((await client.ready()).ready, true);
});

/** Private file system mounted on a directory; disposal unmounts it. */
interface Disk extends AsyncDisposable {
  /** Whether the system allows the mount. */
  isMounted: boolean;
  /** Returns the command that runs a program with the file system. */
  inside(...command: string[]): string[];
}

/** Mounts a small file system on the state directory in the namespace of a new process. */
async function mountDisk(dir: string): Promise<Disk> {
  await Deno.mkdir(`${dir}/state`);
  const mount =
    `mount -t tmpfs -o size=${DISK_MB}m,mode=700 none "$1" && echo ready && exec sleep infinity`;
  const owner = new Deno.Command("unshare", {
    args: ["--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", `${dir}/state`],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = owner.stdout.getReader();
  const isMounted = (await reader.read()).value !== undefined;
  const enter = ["--target", `${owner.pid}`, "--user", "--mount", "--preserve-credentials"];
  return {
    isMounted,
    inside: (...command) => ["/usr/bin/nsenter", ...enter, "--", ...command],
    async [Symbol.asyncDispose]() {
      try {
        owner.kill("SIGKILL");
      } catch { /* already exited */ }
      await owner.status;
      await reader.cancel();
    },
  };
}

Deno.test("a daemon on a full disk rejects jobs, retains results and resumes when space is free", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using disk = await mountDisk(dir);
  if (!disk.isMounted) return console.warn("SKIPPED: the system denies private mounts");
  const shell = async (script: string): Promise<void> => {
    const [path, ...args] = disk.inside("/bin/sh", "-c", script);
    await new Deno.Command(path!, { args, stdout: "null", stderr: "null" }).output();
  };
  const fill = (): Promise<void> =>
    shell(
      `dd if=/dev/zero of=${dir}/state/fill bs=4k; dd if=/dev/zero of=${dir}/state/rest bs=1`,
    );
  const program = disk.inside(...programCommand());
  const refused = async (client: DaemonClient): Promise<void> => {
    // Jobs that fit into SQLite's preallocated pages may still be accepted.
    try {
      for (let i = 0; i < 1000; i++) {
        await client.submit(HELLO, { manifest: { args: ["x".repeat(30_000)] } });
      }
      throw new Error("Full disk accepted every job");
    } catch (error) {
      assert(error instanceof PlasmError, String(error));
      assertEquals({ code: error.code, retryable: error.retryable }, {
        code: "state",
        retryable: true,
      }, error.message);
    }
  };
  let lasting: string;
  {
    await using daemon = await DaemonProcess.start({ dir, program });
    using client = connectDaemon({ socket: daemon.socket });
    await runHello(client);
    lasting = (await client.submit(await command(SPIN), {
      manifest: { resources: { timeout_seconds: 2 } },
    })).id;
    await fill();
    await refused(client);
    assertEquals((await client.ready()).ready, false);
    await shell(`rm ${dir}/state/fill ${dir}/state/rest`);
    // Its result could not be saved, or can be now; it was not lost.
    assertEquals((await client.result(lasting)).job.status, "timeout");
    await eventually(() => runHello(client));
    assertEquals((await client.ready()).ready, true);
    await fill();
    daemon.signal("SIGKILL");
    await daemon.ended();
  }
  // The daemon starts on the full disk, or reports it as the reason for failing.
  {
    await using starting = await DaemonProcess.spawn({ dir, program });
    await Promise.race([starting.untilEvent("daemon-started"), starting.ended()]);
    const text = JSON.stringify(starting.log);
    assert(/daemon-started|full|No space/i.test(text), text);
  }
  await shell(`rm ${dir}/state/fill ${dir}/state/rest`);
  await using daemon = await DaemonProcess.start({ dir, program });
  using client = connectDaemon({ socket: daemon.socket });
  assertEquals((await client.result(lasting)).job.status, "timeout");
  await runHello(client);
  assertEquals(daemon.log.filter(({ level }) => level === "error"), []);
});

Deno.test("a clock jump changes neither deadlines nor usage and loses no job", async () => {
  await using fixture = await testDaemon({ real: true });
  const now = Date.now;
  try {
    using client = connectDaemon({ socket: fixture.daemon.socket });
    await runHello(client);
    const { jobs: [before] } = await client.jobs({ limit: 1 });
    const spin = await command(SPIN);
    for (const jump of [DAY_MS, -2 * DAY_MS, DAY_MS]) {
      const { id } = await client.submit(spin, {
        manifest: { resources: { timeout_seconds: 1 } },
      });
      for await (const { type } of client.events(id)) {
        if (type !== "started") continue;
        const steady = Date.now;
        Date.now = () => steady() + jump;
      }
      const { job, receipt } = await client.result(id);
      assertEquals(job.status, "timeout");
      await verifyReceipt(receipt);
      const { wall_time_ms } = receipt.run.usage;
      assert(wall_time_ms >= 1000 && wall_time_ms < DAY_MS / 2, `${wall_time_ms} ms`);
      const duration = Date.parse(receipt.run.finished_at) - Date.parse(receipt.run.started_at);
      assertEquals(duration, wall_time_ms);
      await runHello(client);
    }
    assertEquals((await client.job(before!.id)).status, "exited");
    // Sums of durations only grow.
    const sum = /^plasm_job_latency_seconds_sum (\S+)$/m.exec(await client.metrics());
    assert(sum !== null && Number(sum[1]) >= 0 && Number(sum[1]) < DAY_MS / 1000, `${sum}`);
  } finally {
    Date.now = now;
  }
});
