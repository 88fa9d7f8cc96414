/**
 * Hostile modules through the command line: the right status, exit code and one object of JSON. All
 * of them where `PLASM_BINARY` names a compiled program; from source, where each start costs most of
 * a second, a sample: sandbox_test.ts runs all there.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { ERROR_CODES, isErrorCode } from "../../lib/error_codes.ts";
import { plasm, withTempDir } from "../plasm.ts";
import { command, HOSTILE_LIMITS, type HostileModule } from "./case.ts";
import { HOSTILE_MODULES } from "./modules.ts";
import { assemble } from "./wat.ts";

/** One in so many from source. */
const SAMPLE = 12;

const EXIT_CODES: Record<string, number> = { trapped: 134, timeout: 124, memory: 137, output: 137 };

/** What the command line can say: no limits of the file system, no input without an end. */
function canExec({ limits = {}, stdin, inputs }: HostileModule): boolean {
  const { wallTimeMs: _, ...others } = limits;
  return stdin !== "open" && inputs === undefined && Object.keys(others).length === 0;
}

async function execArgs(hostile: HostileModule, dir: string): Promise<string[]> {
  const { memoryBytes, wallTimeMs } = { ...HOSTILE_LIMITS, ...hostile.limits };
  const path = `${dir}/module.wasm`;
  await Deno.writeFile(path, await hostile.bytes());
  return [
    "exec",
    "--json",
    ...["--memory-mb", `${memoryBytes / 2 ** 20}`, "--timeout", `${wallTimeMs / 1000}`],
    ...Object.entries(hostile.env ?? {}).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
    path,
    "--",
    ...(hostile.args ?? []),
  ];
}

const able = HOSTILE_MODULES.filter(canExec);
const chosen = Deno.env.has("PLASM_BINARY")
  ? able
  : able.filter((_, index) => index % SAMPLE === 0);

for (const hostile of chosen) {
  Deno.test(`plasm exec holds ${hostile.name}: ${hostile.what}`, () =>
    withTempDir(async (dir) => {
      const { expect, stdin } = hostile;
      const { code, stdout, stderr } = await plasm(await execArgs(hostile, dir), {
        ...(stdin === undefined || stdin === "open" ? {} : { stdin }),
        env: { PLASM_STATE_DIR: `${dir}/state` },
      });
      const allowed = [expect.status].flat() as string[];
      if (allowed.includes("rejected")) {
        const told: unknown = JSON.parse(stderr).error.code;
        assert(isErrorCode(told));
        if (expect.code !== undefined) assertEquals(told, expect.code);
        assertEquals([stdout, code], ["", ERROR_CODES[told].exit]);
        return;
      }
      const result = JSON.parse(stdout);
      assert(allowed.includes(result.status), `${result.status}, expected ${allowed}`);
      assertEquals(result.receipt.status, result.status);
      if (expect.stdout !== undefined) assertEquals(result.stdout, expect.stdout);
      const own = Math.min(expect.exitCode ?? result.exit_code, 255);
      assertEquals(code, result.status === "exited" ? own : EXIT_CODES[result.status]);
    }));
}

Deno.test("plasm exec --json stays one object whatever the guest prints", () =>
  withTempDir(async (dir) => {
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
    assertEquals([code, stderr], [134, ""]);
    // All of stdout is one value: what follows or precedes it would not parse.
    const result = JSON.parse(stdout);
    assertEquals([result.status, result.stdout, result.stderr], ["trapped", forged, forged]);
    assertEquals([result.receipt.status, result.receipt.stdout_bytes], ["trapped", forged.length]);
  }));
