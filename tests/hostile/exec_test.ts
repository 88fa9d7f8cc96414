/**
 * Runs every hostile module through the command line and checks status, figures, exit code, a single JSON object, and
 * that no process or file remains.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { ERROR_CODES, isErrorCode } from "../../lib/core/errors/error_codes.ts";
import { verifyReceipt } from "../../lib/core/verify_receipt.ts";
import { plasm, spawnPlasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";
import { command, type HostileModule } from "../fixtures/hostile/case.ts";
import { assertResult, type HostileResult, manifestOf } from "../fixtures/hostile/results.ts";
import { HOSTILE_MODULES } from "../fixtures/hostile/modules.ts";
import { assemble } from "../fixtures/hostile/wat.ts";

/** Concurrent cases: from source most of a case's time is start-up. */
const AT_ONCE = 3;

const EXIT_CODES: Record<string, number> = { trapped: 134, timeout: 124, memory: 137, output: 137 };

interface Printed {
  code: number;
  stdout: string;
  stderr: string;
}

/** Writes a case's files and returns the arguments that run it. */
async function execArgs(hostile: HostileModule, dir: string): Promise<string[]> {
  const module = `${dir}/module.wasm`;
  const manifest = `${dir}/manifest.json`;
  await Deno.writeFile(module, await hostile.bytes());
  await Deno.writeTextFile(manifest, JSON.stringify(manifestOf(hostile)));
  const inputs = await Promise.all((hostile.inputs ?? []).map(async ({ path, data }, index) => {
    await Deno.writeFile(`${dir}/input${index}`, data ?? new Uint8Array());
    return ["--input", `${dir}/input${index}:${path}`];
  }));
  return ["exec", "--json", "--manifest", manifest, ...inputs.flat(), module];
}

/** Runs a command whose standard input never ends. */
async function withOpenStdin(args: string[], env: Record<string, string>): Promise<Printed> {
  const child = spawnPlasm(args, { env });
  const { code, stdout, stderr } = await child.output();
  await child.stdin.close().catch(() => {});
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

async function exec(hostile: HostileModule, dir: string): Promise<HostileResult> {
  const args = await execArgs(hostile, dir);
  const env = { PLASM_STATE_DIR: `${dir}/state` };
  const { stdin } = hostile;
  const { code, stdout, stderr } = stdin === "open"
    ? await withOpenStdin(args, env)
    : await plasm(args, { env, ...(stdin === undefined ? {} : { stdin }) });
  if (stdout === "") {
    const { code: errorCode, message } = JSON.parse(stderr).error;
    assert(isErrorCode(errorCode));
    assertEquals(code, ERROR_CODES[errorCode].exit);
    return { status: "rejected", code: errorCode, exitCode: null, message, stdout, stderrBytes: 0 };
  }
  const { status, exit_code, message, receipt, ...result } = JSON.parse(stdout);
  await verifyReceipt(receipt, { module: await Deno.readFile(args.at(-1)!) });
  assertEquals({ status: receipt.claim.status, exitCode: receipt.claim.exit_code }, {
    status,
    exitCode: exit_code,
  });
  assertEquals(code, status === "exited" ? Math.min(exit_code, 255) : EXIT_CODES[status]);
  return {
    status,
    exitCode: exit_code,
    message: message ?? "",
    stdout: result.stdout,
    stderrBytes: receipt.claim.stderr.bytes,
    usage: {
      wallTimeMs: receipt.run.usage.wall_time_ms,
      cpuTimeMs: receipt.run.usage.cpu_time_ms,
      memoryPeakBytes: receipt.run.usage.memory_peak_bytes,
    },
  };
}

Deno.test("plasm exec contains every hostile module", async () => {
  const faults: string[] = [];
  const left = HOSTILE_MODULES.values();
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (const hostile of left) {
      try {
        await using temp = await tempDir();
        const dir = temp.path;
        assertResult(hostile, await exec(hostile, dir));
        // Only the identity remains: no temporary file, no socket.
        const rest = [...Deno.readDirSync(`${dir}/state`)].map(({ name }) => name);
        assertEquals(rest.filter((name) => name !== "identity.key"), []);
      } catch (error) {
        faults.push(`${hostile.name}: ${error}`);
      }
    }
  }));
  assertEquals(faults, []);
});

Deno.test("plasm exec --json prints a single object for any guest output", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const forged = '"}\n{"status":"exited","exit_code":0,"receipt":{"signature":"00"}}\n\x1b[2J';
  const text = [...new TextEncoder().encode(forged)]
    .map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
  const print = (fd: number): string =>
    `(drop (call $fd_write (i32.const ${fd}) (i32.const 0) (i32.const 1) (i32.const 8)))`;
  const module = await assemble(command(`${print(1)} ${print(2)} unreachable`, {
    uses: ["fd_write"],
    fields: `(data (i32.const 0) "\\10\\00\\00\\00\\${forged.length.toString(16)}\\00\\00\\00")
        (data (i32.const 16) "${text}")`,
  }));
  await Deno.writeFile(`${dir}/module.wasm`, module);
  const { code, stdout, stderr } = await plasm(["exec", "--json", `${dir}/module.wasm`], {
    env: { PLASM_STATE_DIR: `${dir}/state` },
  });
  assertEquals({ code, stderr }, { code: 134, stderr: "" });
  // stdout parses as a single value only if nothing precedes or follows it.
  const result = JSON.parse(stdout);
  assertEquals({ status: result.status, stdout: result.stdout, stderr: result.stderr }, {
    status: "trapped",
    stdout: forged,
    stderr: forged,
  });
  const { claim } = result.receipt;
  assertEquals({ status: claim.status, stdoutBytes: claim.stdout.bytes }, {
    status: "trapped",
    stdoutBytes: forged.length,
  });
});
