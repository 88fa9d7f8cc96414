/**
 * Tests that a client detects bytes of a piped run that were modified in transit.
 * @module
 */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connectDaemon } from "../../lib/client/mod.ts";
import { PlasmError } from "../../lib/core/errors/errors.ts";
import { fileGuest } from "../fixtures/file_guest.ts";
import { command } from "../fixtures/sandbox_jobs.ts";
import { plasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";
import { DaemonProcess, environment } from "../fixtures/daemon/daemon_process.ts";

/** WAT that copies one read of stdin to stdout. */
const COPY = `
  (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 100))
  (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))`;

/** Two repetitions occur only in content: no head or JSON contains it, and no frame header is that long. */
const MARK = 0xee;

/** Proxy between client and daemon that modifies marked content in one direction. */
class Meddler implements AsyncDisposable {
  readonly #listener: Deno.Listener;
  readonly #serving: Promise<void>;

  constructor(
    socket: string,
    options: { daemon: string; direction: "up" | "down"; mark?: number },
  ) {
    this.#listener = Deno.listen({ transport: "unix", path: socket });
    this.#serving = this.#serve(options);
  }

  async #serve(
    { daemon, direction, mark = MARK }: { daemon: string; direction: string; mark?: number },
  ): Promise<void> {
    const passing: Promise<unknown>[] = [];
    for await (const client of this.#listener) {
      const server = await Deno.connect({ transport: "unix", path: daemon });
      const up = pass(client, server, direction === "up" ? mark : undefined);
      const down = pass(server, client, direction === "down" ? mark : undefined);
      passing.push(Promise.allSettled([up, down]));
    }
    await Promise.all(passing);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
  }
}

async function pass(from: Deno.Conn, to: Deno.Conn, mark?: number): Promise<void> {
  let last = 0;
  const changed = (byte: number): number => {
    const isSecond = byte === mark && last === mark;
    last = byte;
    return isSecond ? byte + 1 : byte;
  };
  const change = new TransformStream<Uint8Array, Uint8Array>({
    transform: (bytes, controller) => controller.enqueue(bytes.map(changed)),
  });
  await from.readable.pipeThrough(change).pipeTo(to.writable);
}

const CASES = [
  ["pipe() rejects the receipt when its input is modified in transit", "up", "claim.stdin_hash"],
  [
    "pipe() rejects the receipt when its output is modified in transit",
    "down",
    "claim.stdout.hash",
  ],
] as const;

for (const [name, direction, field] of CASES) {
  Deno.test(name, async () => {
    await using temp = await tempDir();
    const dir = temp.path;
    await using daemon = await DaemonProcess.start({ dir, set: { "network.enabled": "false" } });
    const socket = `${dir}/meddler.sock`;
    await using _meddler = new Meddler(socket, { daemon: daemon.socket, direction });
    const module = await command(COPY);
    const stdin = Uint8Array.of(1, MARK, MARK, 2);
    const error = await assertRejects(async () => {
      using client = connectDaemon({ socket });
      for await (const event of client.pipe(module, { stdin })) {
        if (event.type === "finished") throw new Error("Modified bytes were accepted");
      }
    }, PlasmError);
    assertEquals({ code: error.code, hasField: error.message.includes(field) }, {
      code: "bad-receipt",
      hasField: true,
    });

    await Deno.writeFile(`${dir}/copy.wasm`, module);
    const receipt = `${dir}/receipt.json`;
    const args = ["exec", "--pipe", "--socket", socket, "--receipt", receipt, `${dir}/copy.wasm`];
    const run = await plasm(args, { env: environment(dir), stdin });
    assertEquals(run.code, 76);
    await assertRejects(() => Deno.stat(receipt), Deno.errors.NotFound);
  });
}

Deno.test("plasm exec writes no output file that was modified in transit, by pipe or from the store", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using daemon = await DaemonProcess.start({ dir, set: { "network.enabled": "false" } });
  const socket = `${dir}/meddler.sock`;
  const [mark] = new TextEncoder().encode("~");
  await using _meddler = new Meddler(socket, {
    daemon: daemon.socket,
    direction: "down",
    mark: mark!,
  });
  const module = `${dir}/m.wasm`;
  await Deno.writeFile(
    module,
    await fileGuest([{ mkdir: "o" }, { write: "o/a", text: "a" }, { write: "o/b", text: "b~~c" }]),
  );
  for (const way of ["--pipe", "--daemon"]) {
    const cwd = `${dir}/${way}`;
    await Deno.mkdir(cwd);
    for (const output of ["o/", "o/a", "o/b"]) {
      const args = ["exec", way, "--socket", socket, "--output", output, module];
      const { code, stderr } = await plasm(args, { env: environment(dir), cwd });
      const isChanged = output !== "o/a";
      assertEquals(code, isChanged ? 76 : 0, stderr);
      if (isChanged) assertStringIncludes(stderr, 'claim.outputs["o/b"].hash is');
    }
    assertEquals([...Deno.readDirSync(cwd)].map(({ name }) => name), ["a"]);
  }
});
