/**
 * A piped run whose bytes are changed on the way: the receipt tells.
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { connectDaemon } from "../../lib/client/mod.ts";
import { PlasmError } from "../../lib/core/errors/errors.ts";
import { command } from "../fixtures/sandbox_jobs.ts";
import { plasm, withTempDir } from "../fixtures/plasm.ts";
import { DaemonProcess, environment } from "../fixtures/daemon/daemon_process.ts";

/** WAT that copies one read of stdin to stdout. */
const COPY = `
  (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 100))
  (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))`;

/** Twice in a row it is content: no head or JSON has it, and no frame here is as long as that. */
const MARK = 0xee;

/** Stands between client and daemon, and changes what is marked in one direction. */
class Meddler implements AsyncDisposable {
  readonly #listener: Deno.Listener;
  readonly #serving: Promise<void>;

  constructor(socket: string, options: { daemon: string; direction: "up" | "down" }) {
    this.#listener = Deno.listen({ transport: "unix", path: socket });
    this.#serving = this.#serve(options);
  }

  async #serve({ daemon, direction }: { daemon: string; direction: string }): Promise<void> {
    const passing: Promise<unknown>[] = [];
    for await (const client of this.#listener) {
      const server = await Deno.connect({ transport: "unix", path: daemon });
      const up = pass(client, server, direction === "up");
      const down = pass(server, client, direction === "down");
      passing.push(Promise.allSettled([up, down]));
    }
    await Promise.all(passing);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
  }
}

async function pass(from: Deno.Conn, to: Deno.Conn, isChanged: boolean): Promise<void> {
  let last = 0;
  const changed = (byte: number): number => {
    const isSecond = isChanged && byte === MARK && last === MARK;
    last = byte;
    return isSecond ? byte + 1 : byte;
  };
  const change = new TransformStream<Uint8Array, Uint8Array>({
    transform: (bytes, controller) => controller.enqueue(bytes.map(changed)),
  });
  await from.readable.pipeThrough(change).pipeTo(to.writable);
}

const CASES = [
  ["pipe() trusts nothing when its bytes are changed on the way up", "up", "stdin_hash"],
  ["pipe() trusts nothing when its bytes are changed on the way down", "down", "stdout_hash"],
] as const;

for (const [name, direction, field] of CASES) {
  Deno.test(name, () =>
    withTempDir(async (dir) => {
      await using daemon = await DaemonProcess.start({ dir, set: { "network.enabled": "false" } });
      const socket = `${dir}/meddler.sock`;
      await using _meddler = new Meddler(socket, { daemon: daemon.socket, direction });
      const module = await command(COPY);
      const stdin = Uint8Array.of(1, MARK, MARK, 2);
      const error = await assertRejects(async () => {
        using client = connectDaemon({ socket });
        for await (const event of client.pipe(module, { stdin })) {
          if (event.type === "finished") throw new Error("It was trusted");
        }
      }, PlasmError);
      assertEquals([error.code, error.message.includes(field)], ["bad-receipt", true]);

      await Deno.writeFile(`${dir}/copy.wasm`, module);
      const receipt = `${dir}/receipt.json`;
      const args = ["exec", "--pipe", "--socket", socket, "--receipt", receipt, `${dir}/copy.wasm`];
      const run = await plasm(args, { env: environment(dir), stdin });
      assertEquals(run.code, 76);
      await assertRejects(() => Deno.stat(receipt), Deno.errors.NotFound);
    }));
}
