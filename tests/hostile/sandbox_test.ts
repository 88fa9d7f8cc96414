/**
 * Every hostile module, in the sandbox: the right end, and nothing of the process left.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { PlasmError } from "../../lib/errors.ts";
import { Executor } from "../../lib/sandbox/executor.ts";
import { inspectModule } from "../../lib/sandbox/inspect/inspect.ts";
import type { SandboxJob } from "../../lib/sandbox/types.ts";
import { HOSTILE_LIMITS, HOSTILE_MODULES, type HostileModule } from "./modules.ts";

interface End {
  status: string;
  code?: string;
  exitCode: number | null;
  message: string;
  stdout: string;
}

function neverEnding(): ReadableStream<Uint8Array> {
  return new ReadableStream({ pull: () => new Promise(() => {}) });
}

async function run(hostile: HostileModule, executor: Executor): Promise<End> {
  const limits = { ...HOSTILE_LIMITS, ...hostile.limits };
  let stdout = "";
  try {
    const { bytes } = inspectModule(await hostile.bytes(), limits);
    const job: SandboxJob = {
      module: bytes,
      args: hostile.args ?? [],
      env: hostile.env ?? {},
      stdin: hostile.stdin === "open" ? neverEnding() : hostile.stdin,
      inputs: hostile.inputs,
      limits,
    };
    for await (const event of executor.run(job)) {
      if (event.type === "stdout") {
        stdout += new TextDecoder().decode(event.data);
      }
      if (event.type === "finished") {
        const { status, exitCode, message = "" } = event.outcome;
        return { status, exitCode, message, stdout };
      }
    }
  } catch (error) {
    if (!(error instanceof PlasmError)) throw error;
    return { status: "rejected", code: error.code, exitCode: null, message: error.message, stdout };
  }
  throw new Error("The job ended without an end");
}

for (const hostile of HOSTILE_MODULES) {
  Deno.test(`the sandbox holds ${hostile.name}: ${hostile.what}`, async () => {
    const { expect } = hostile;
    const executor = new Executor();
    try {
      await executor.ready();
      const end = await run(hostile, executor);
      const allowed = [expect.status].flat() as string[];
      assert(allowed.includes(end.status), `${end.status} (${end.message}), expected ${allowed}`);
      if (expect.code !== undefined) assertEquals(end.code, expect.code);
      if (expect.exitCode !== undefined) assertEquals(end.exitCode, expect.exitCode);
      if (expect.stdout !== undefined) assertEquals(end.stdout, expect.stdout);
      if (expect.messageIncludes !== undefined) {
        assertStringIncludes(end.message, expect.messageIncludes);
      }
    } finally {
      await executor.kill();
    }
    // The process is reaped: nothing of the guest can still run.
    await executor.ended;
  });
}
