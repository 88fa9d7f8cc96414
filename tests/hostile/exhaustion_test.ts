/**
 * A daemon that runs out of descriptors, of disk, or of a steady clock: it goes on or says why not, keeps
 * what it has accepted, and needs nobody's hand afterwards.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { connectDaemon, type DaemonClient } from "../../lib/client/mod.ts";
import { PlasmError } from "../../lib/core/errors/errors.ts";
import { verifyReceipt } from "../../lib/core/verify_receipt.ts";
import { command, SPIN, write } from "../fixtures/sandbox_jobs.ts";
import { programCommand, withTempDir } from "../fixtures/plasm.ts";
import { withDaemon } from "../fixtures/daemon/harness.ts";
import { DaemonProcess } from "../fixtures/daemon/daemon_process.ts";

/** Fewer than a daemon would have: it holds about 45. */
const DESCRIPTORS = 128;

/** More connections than that. */
const CONNECTIONS = 300;

/** The disk: a file system in memory. */
const DISK_MB = 24;

const DAY_MS = 86_400_000;

const HELLO = await command(write(1, 5));

async function runHello(client: DaemonClient): Promise<void> {
  const { id } = await client.submit(HELLO);
  const { job, stdout, receipt } = await client.result(id);
  assertEquals([job.status, stdout.length], ["exited", 5]);
  await verifyReceipt(receipt, { module: HELLO, stdout, nonce: job.nonce });
}

/** Tries until it is done; the test's time is the limit. */
async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  while (true) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof PlasmError)) throw error;
    }
  }
}

Deno.test("a daemon without descriptors serves again once there are some", () =>
  withTempDir(async (dir) => {
    const program = ["/usr/bin/prlimit", `--nofile=${DESCRIPTORS}`, "--", ...programCommand()];
    await using daemon = await DaemonProcess.start({ dir, program });
    using client = connectDaemon({ socket: daemon.socket });
    await runHello(client);
    const accepted = await client.submit(await command(SPIN), {
      manifest: { resources: { timeout_seconds: 2 } },
    });
    const held: Deno.Conn[] = [];
    for (let i = 0; i < CONNECTIONS; i++) {
      try {
        const conn = await Deno.connect({ transport: "unix", path: daemon.socket });
        held.push(conn);
        await conn.write(new TextEncoder().encode("GET /health HTTP/1.1\r\nHost: x\r\n"));
      } catch { /* too many wait to be taken, or it was closed for want of a descriptor */ }
    }
    assert(held.length > DESCRIPTORS);
    // Those that were not taken wait in the kernel; one of them is this one's.
    const answer = connectDaemon({ socket: daemon.socket });
    const waiting = answer.version().then(() => "answered", () => "refused");
    for (const conn of held) conn.close();
    assert(["answered", "refused"].includes(await waiting));
    answer[Symbol.dispose]();
    await eventually(() => runHello(client));
    assertEquals((await client.result(accepted.id)).job.status, "timeout");
    assertEquals((await client.ready()).ready, true);
  }));

/** A process that keeps a file system of its own in a directory, and what runs programs beside it. */
async function withDisk(
  dir: string,
  test: (inside: (...command: string[]) => string[]) => Promise<void>,
): Promise<boolean> {
  await Deno.mkdir(`${dir}/state`);
  const mount =
    `mount -t tmpfs -o size=${DISK_MB}m,mode=700 none "$1" && echo ready && exec sleep infinity`;
  const holder = new Deno.Command("unshare", {
    args: ["--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", `${dir}/state`],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = holder.stdout.getReader();
  try {
    const ready = (await reader.read()).value !== undefined;
    if (ready) {
      const enter = ["--target", `${holder.pid}`, "--user", "--mount", "--preserve-credentials"];
      await test((...command) => ["/usr/bin/nsenter", ...enter, "--", ...command]);
    }
    return ready;
  } finally {
    try {
      holder.kill("SIGKILL");
    } catch { /* it has ended */ }
    await holder.status;
    await reader.cancel();
  }
}

Deno.test("a daemon on a full disk refuses, keeps ends, and goes on where it left off", () =>
  withTempDir(async (dir) => {
    const possible = await withDisk(dir, async (inside) => {
      const shell = async (script: string): Promise<void> => {
        const [path, ...args] = inside("/bin/sh", "-c", script);
        await new Deno.Command(path!, { args, stdout: "null", stderr: "null" }).output();
      };
      const fill = (): Promise<void> =>
        shell(
          `dd if=/dev/zero of=${dir}/state/fill bs=4k; dd if=/dev/zero of=${dir}/state/rest bs=1`,
        );
      const program = inside(...programCommand());
      const refused = async (client: DaemonClient): Promise<void> => {
        // What fits into the pages that SQLite has already may still be accepted.
        try {
          for (let i = 0; i < 1000; i++) {
            await client.submit(HELLO, { manifest: { args: ["x".repeat(30_000)] } });
          }
          throw new Error("A full disk took everything");
        } catch (error) {
          assert(error instanceof PlasmError, String(error));
          assertEquals([error.code, error.retryable], ["state", true], error.message);
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
        // Its end could not be saved, or can now; it was not lost.
        assertEquals((await client.result(lasting)).job.status, "timeout");
        await eventually(() => runHello(client));
        assertEquals((await client.ready()).ready, true);
        await fill();
        daemon.signal("SIGKILL");
        await daemon.ended();
      }
      // It starts on the full disk, or says that this is why it does not.
      const starting = await DaemonProcess.spawn({ dir, program });
      try {
        await Promise.race([starting.untilEvent("daemon-started"), starting.ended()]);
        const text = JSON.stringify(starting.log);
        assert(/daemon-started|full|No space/i.test(text), text);
      } finally {
        await starting[Symbol.asyncDispose]();
      }
      await shell(`rm ${dir}/state/fill ${dir}/state/rest`);
      await using daemon = await DaemonProcess.start({ dir, program });
      using client = connectDaemon({ socket: daemon.socket });
      assertEquals((await client.result(lasting)).job.status, "timeout");
      await runHello(client);
      assertEquals(daemon.log.filter(({ level }) => level === "error"), []);
    });
    if (!possible) console.warn("SKIPPED: the system refuses a mount of its own");
  }));

Deno.test("a clock that jumps changes neither deadlines nor figures, and loses no job", () =>
  withDaemon(async (fixture) => {
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
        const { wall_time_ms } = receipt.usage;
        assert(wall_time_ms >= 1000 && wall_time_ms < DAY_MS / 2, `${wall_time_ms} ms`);
        const took = Date.parse(receipt.finished_at) - Date.parse(receipt.started_at);
        assertEquals(took, wall_time_ms);
        await runHello(client);
      }
      assertEquals((await client.job(before!.id)).status, "exited");
      // Sums of durations only ever grow.
      const sum = /^plasm_job_latency_seconds_sum (\S+)$/m.exec(await client.metrics());
      assert(sum !== null && Number(sum[1]) >= 0 && Number(sum[1]) < DAY_MS / 1000, `${sum}`);
    } finally {
      Date.now = now;
    }
  }, { real: true }));
