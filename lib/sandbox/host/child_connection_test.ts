import { assert, assertEquals } from "@std/assert";
import { Executor } from "./executor.ts";
import { ChildListener } from "./child_connection.ts";
import { command, sandboxJob } from "../../../tests/fixtures/sandbox_jobs.ts";
import type { SandboxEvent } from "../job_types.ts";
import { random } from "../../../tests/fixtures/random_source.ts";

/** WAT of a program that copies stdin to stdout, in reads and writes of odd sizes. */
const CAT = `(loop $next
  (i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 50001))
  (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
  (i32.store (i32.const 4) (i32.load (i32.const 8)))
  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
  (br_if $next (i32.load (i32.const 8))))`;

async function withDir(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "plasm-test-" });
  try {
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Chunks of sizes from zero to more than rings, sockets and frames hold. */
function pieces(): Uint8Array<ArrayBuffer>[] {
  const below = random(7);
  return Array.from({ length: 40 }, (_, n) => {
    const size = n === 20 ? 3_000_001 : below(n % 2 === 0 ? 100 : 300_000);
    return Uint8Array.from({ length: size }, () => below(256));
  });
}

async function passThrough(executor: Executor): Promise<void> {
  const sent = pieces();
  const job = sandboxJob(await command(CAT));
  const events = executor.run({ ...job, stdin: ReadableStream.from(sent) });
  const found: SandboxEvent[] = await Array.fromAsync(events);
  const output = found.flatMap((event) => event.type === "stdout" ? [event.data] : []);
  const bytes = (parts: Uint8Array[]) => new Blob(parts as Uint8Array<ArrayBuffer>[]).bytes();
  const [expected, actual] = [await bytes(sent), await bytes(output)];
  assertEquals(actual.length, expected.length);
  assert(actual.every((byte, at) => byte === expected[at]));
}

Deno.test("Executor.run() passes input to output unchanged over pipes", async () => {
  await using executor = new Executor();
  await passThrough(executor);
  await passThrough(executor);
});

Deno.test("Executor.run() passes input to output unchanged over a socket", () =>
  withDir(async (dir) => {
    await using executor = new Executor({ socketDir: dir });
    await executor.ready();
    assertEquals([...Deno.readDirSync(dir)], []);
    await passThrough(executor);
    await passThrough(executor);
  }));

Deno.test("Executor uses pipes when the path of a socket would be too long", () =>
  withDir(async (dir) => {
    const socketDir = `${dir}/${"x".repeat(100)}`;
    await using executor = new Executor({ socketDir });
    await passThrough(executor);
    assertEquals([...Deno.readDirSync(dir)], []);
  }));

Deno.test("Executor.kill() removes the socket when the process has not started", () =>
  withDir(async (dir) => {
    const executor = new Executor({ socketDir: dir });
    await executor.kill();
    assertEquals([...Deno.readDirSync(dir)], []);
  }));

Deno.test("ChildListener.accept() accepts one connection and no further one", () =>
  withDir(async (dir) => {
    const listener = ChildListener.open(dir)!;
    const path = `${listener.dir}/s`;
    const accepting = listener.accept();
    using conn = await Deno.connect({ transport: "unix", path });
    using accepted = (await accepting)!;
    await conn.write(Uint8Array.of(7));
    const into = new Uint8Array(2);
    assertEquals([await accepted.read(into), into[0]], [1, 7]);
    assertEquals(await Deno.connect({ transport: "unix", path }).catch(() => "refused"), "refused");
    assertEquals(await listener.accept(), undefined);
  }));
