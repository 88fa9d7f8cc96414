/**
 * Tests of the background daemon of `plasm exec`, which only the compiled program starts.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { delay } from "../../lib/util/async/mod.ts";
import { connectDaemon } from "../../lib/client/mod.ts";
import type { Receipt } from "../../lib/core/mod.ts";
import { plasm, type PlasmResult } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const HELLO = new URL("../../examples/hello/hello.wasm", import.meta.url);

/** Above the size from which a module is large. */
const PADDING_BYTES = 9 * 2 ** 20;

/** A state directory, a small and a large program that both reverse their input, and the daemon's process. */
class Fixture implements AsyncDisposable {
  readonly dir: string;
  readonly small: string;
  readonly large: string;
  readonly #temp: AsyncDisposable;

  private constructor(temp: { path: string } & AsyncDisposable) {
    this.#temp = temp;
    this.dir = temp.path;
    this.small = `${this.dir}/small.wasm`;
    this.large = `${this.dir}/large.wasm`;
  }

  static async create(): Promise<Fixture> {
    const fixture = new Fixture(await tempDir());
    const hello = await Deno.readFile(HELLO);
    await Deno.writeFile(fixture.small, hello);
    await Deno.writeFile(fixture.large, withPadding(hello));
    return fixture;
  }

  exec(args: string[], options: { stdin?: string; seconds?: number } = {}): Promise<PlasmResult> {
    const { stdin = "World", seconds = 600 } = options;
    return plasm(["exec", ...args], {
      stdin,
      env: { PLASM_STATE_DIR: this.dir, PLASM_EXEC_LINGER_SECONDS: `${seconds}` },
    });
  }

  /** Process ids of the daemon, whose command line names its configuration. */
  async daemons(): Promise<number[]> {
    const { stdout } = await new Deno.Command("ps", {
      args: ["-eo", "pid=,stat=,args="],
    }).output();
    return new TextDecoder().decode(stdout).split("\n")
      .filter((line) =>
        line.includes(`daemon --config ${this.dir}/exec/`) && !/^ *\d+ Z/.test(line)
      )
      .map((line) => Number.parseInt(line));
  }

  async untilEnded(): Promise<void> {
    while ((await this.daemons()).length > 0) await delay(20);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of await this.daemons()) Deno.kill(pid, "SIGKILL");
    await this.untilEnded();
    await this.#temp[Symbol.asyncDispose]();
  }
}

/** Appends a custom section. */
function withPadding(module: Uint8Array): Uint8Array {
  const size: number[] = [];
  for (let rest = PADDING_BYTES; rest > 0; rest >>>= 7) {
    size.push(rest & 127 | (rest > 127 ? 128 : 0));
  }
  const padded = new Uint8Array(module.length + 1 + size.length + PADDING_BYTES);
  padded.set(module);
  // Section 0, its size, and a name of one byte.
  padded.set([0, ...size, 1, "x".charCodeAt(0)], module.length);
  return padded;
}

/** The tests need the compiled program and ps(1). */
async function canRun(): Promise<boolean> {
  if (Deno.env.get("PLASM_BINARY") === undefined) {
    console.warn("SKIPPED: needs the compiled program in PLASM_BINARY");
    return false;
  }
  try {
    return (await new Deno.Command("ps", { stdout: "null" }).output()).success;
  } catch {
    console.warn("SKIPPED: ps not found (apt-get install procps)");
    return false;
  }
}

const REVERSED = { code: 0, stdout: "dlroW", stderr: "" };

function visible({ code, stdout, stderr }: PlasmResult): typeof REVERSED {
  return { code, stdout, stderr };
}

async function receiptOf(path: string): Promise<Receipt> {
  return JSON.parse(await Deno.readTextFile(path));
}

Deno.test("plasm exec of a large module starts a daemon, and its results are those of a run without one", async () => {
  if (!await canRun()) return;
  await using fixture = await Fixture.create();
  const { dir, small, large } = fixture;
  const without = await fixture.exec(["--receipt", `${dir}/without.json`, large], { seconds: 0 });
  assertEquals(visible(without), REVERSED);
  assertEquals(await fixture.daemons(), []);

  assertEquals(visible(await fixture.exec(["--receipt", `${dir}/first.json`, large])), REVERSED);
  const daemons = await fixture.daemons();
  assertEquals(daemons.length, 1);
  assertEquals(visible(await fixture.exec(["--receipt", `${dir}/second.json`, large])), REVERSED);
  assertEquals(visible(await fixture.exec([small])), REVERSED);
  assertEquals(await fixture.daemons(), daemons);
  using client = connectDaemon({ socket: `${dir}/exec/plasm.sock` });
  const { usage } = await client.node();
  assertEquals(usage.map(({ jobs }) => jobs).sort(), [1, 2]);

  const [expected, first, second] = await Promise.all(
    ["without", "first", "second"].map((name) => receiptOf(`${dir}/${name}.json`)),
  );
  for (const { claim, run } of [first!, second!]) {
    assertEquals(claim, expected!.claim);
    assertEquals(run.node.public_key, expected!.run.node.public_key);
  }
});

Deno.test("jobs of a pipeline run at once in the daemon of plasm exec", async () => {
  if (!await canRun()) return;
  await using fixture = await Fixture.create();
  const { large } = fixture;
  assertEquals(visible(await fixture.exec([large])), REVERSED);
  // More than there are cores: a queue would let the first wait for the last.
  const count = 2 * navigator.hardwareConcurrency + 2;
  const { code, stdout } = await new Deno.Command("sh", {
    args: [
      "-c",
      ["printf World", ...Array(count).fill('"$0" exec "$1"')].join(" | "),
      Deno.env.get("PLASM_BINARY")!,
      large,
    ],
    env: { PLASM_STATE_DIR: fixture.dir },
  }).output();
  assertEquals({ code, stdout: new TextDecoder().decode(stdout) }, { code: 0, stdout: "World" });
});

Deno.test("the daemon of plasm exec ends when it has been idle", async () => {
  if (!await canRun()) return;
  await using fixture = await Fixture.create();
  assertEquals(visible(await fixture.exec([fixture.large], { seconds: 1 })), REVERSED);
  await fixture.untilEnded();
  assertEquals(visible(await fixture.exec([fixture.small])), REVERSED);
});

Deno.test("plasm exec runs a job itself when its daemon was killed or does not answer", async () => {
  if (!await canRun()) return;
  await using fixture = await Fixture.create();
  const { small, large } = fixture;
  assertEquals(visible(await fixture.exec([large])), REVERSED);
  const [stopped] = await fixture.daemons();
  Deno.kill(stopped!, "SIGSTOP");
  assertEquals(visible(await fixture.exec([small])), REVERSED);
  Deno.kill(stopped!, "SIGKILL");
  await fixture.untilEnded();
  assertEquals(visible(await fixture.exec([small])), REVERSED);
  assertEquals(visible(await fixture.exec([large])), REVERSED);
  const [next] = await fixture.daemons();
  assert(next !== undefined && next !== stopped);
});

Deno.test("the daemon of plasm exec reports a job's failure as a run without it", async () => {
  if (!await canRun()) return;
  await using fixture = await Fixture.create();
  const run = (seconds: number): Promise<PlasmResult> =>
    fixture.exec(["--fuel", "10", fixture.large], { seconds });
  assertEquals(visible(await run(600)), visible(await run(0)));
  // A job that the daemon refuses.
  const refused = (seconds: number): Promise<PlasmResult> =>
    fixture.exec(["--memory-mb", "1000000", fixture.large], { seconds });
  assertEquals(visible(await refused(600)), visible(await refused(0)));
});
