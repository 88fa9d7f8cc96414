/**
 * Measures the memory of the program and of its executor while a job has large inputs.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { spawnPlasm } from "../fixtures/plasm.ts";
import { command, write } from "../fixtures/sandbox_jobs.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const MB = 2 ** 20;

/** Size of the inputs: close to the limit of a job's file system. */
const INPUT_BYTES = 200 * 10 ** 6;

/** Memory that may be used for other purposes than the inputs, more than without any: buffers of reads and hashes. */
const OTHER_BYTES = 100 * MB;

async function output(path: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(path, { args }).output();
  return new TextDecoder().decode(stdout);
}

/** Peak resident memory of a process, in bytes. */
async function peakBytes(pid: number): Promise<number> {
  const status = await output("cat", `/proc/${pid}/status`);
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1]) * 1024;
}

/** Runs a job that waits for the end of its input and returns the peaks of parent and executor meanwhile. */
async function peaks(
  module: string,
  env: Record<string, string>,
  inputs: string[],
): Promise<{ parent: number; executor: number; reported: number }> {
  const receipt = `${module}.json`;
  const options = ["--receipt", receipt, "--memory-mb", "16"];
  for (const input of inputs) options.push("--input", input);
  const child = spawnPlasm(["exec", ...options, module], { env });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  assertEquals(value?.length, 5, "the job has not started");
  const executor = Number(await output("ps", "-o", "pid=", "--ppid", `${child.pid}`));
  const found = { parent: await peakBytes(child.pid), executor: await peakBytes(executor) };
  await child.stdin.close();
  const { code, stderr } = await child.output();
  assertEquals({ code, stderr: new TextDecoder().decode(stderr) }, { code: 0, stderr: "" });
  const { usage } = JSON.parse(await Deno.readTextFile(receipt)).run;
  return { ...found, reported: usage.memory_peak_bytes as number };
}

Deno.test("exec keeps each input once in memory and does not count it as the job's memory", async (t) => {
  await using dir = await tempDir();
  const env = { PLASM_STATE_DIR: `${dir.path}/state` };
  const module = `${dir.path}/wait.wasm`;
  await Deno.writeFile(
    module,
    await command(`${write(1, 5)} (i32.store (i32.const 4) (i32.const 1))
      (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))`),
  );
  await Deno.mkdir(`${dir.path}/in`);
  const parts = [0, 1, 2, 3].map((part) => `${dir.path}/in/${part}`);
  for (const part of parts) {
    await Deno.writeFile(part, new Uint8Array());
    await Deno.truncate(part, INPUT_BYTES / parts.length);
  }
  await Deno.writeFile(`${dir.path}/file`, new Uint8Array());
  await Deno.truncate(`${dir.path}/file`, INPUT_BYTES);
  const without = await peaks(module, env, []);
  for (const input of ["file", "in"]) {
    await t.step(input === "file" ? "a file" : "a directory", async () => {
      const used = await peaks(module, env, [`${dir.path}/${input}:${input}`]);
      for (const process of ["parent", "executor"] as const) {
        const grown = used[process] - without[process];
        const text = `the ${process} grew by ${Math.round(grown / MB)} MB`;
        console.log(text);
        assert(grown < INPUT_BYTES + OTHER_BYTES, text);
      }
      assert(used.reported < MB, `${used.reported} bytes of the job's memory`);
    });
  }
});
