/**
 * Tests names chosen by a module or a submitter: they have no meaning as properties or paths, or by their size.
 *
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../lib/core/errors/errors.ts";
import { describeTrace } from "../../lib/sandbox/backtrace.ts";
import { Executor } from "../../lib/sandbox/host/executor.ts";
import { encodeIpcJson, FrameKind } from "../../lib/sandbox/ipc/protocol.ts";
import { buildFrame } from "../../lib/util/framing.ts";
import {
  body,
  COMMAND,
  concat,
  moduleOf,
  name,
  SECTION,
  section,
  vector,
} from "../fixtures/hostile/binary.ts";
import {
  check,
  guest,
  runGuest,
  watString,
  writeOut,
} from "../fixtures/hostile/containment_guests.ts";

const LONG = "n".repeat(2 ** 20);

/** Names with a meaning in JavaScript, and degenerate ones. */
const NAMES = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "valueOf",
  "then",
  "",
  "\0",
  LONG,
];

const shown = (text: string): string => text === LONG ? "a name of 1 MiB" : JSON.stringify(text);

/** Minimal command with additional imports and exports. */
function withNames(
  imports: readonly (readonly [module: string, field: string])[],
  exports: readonly string[] = [],
): Uint8Array<ArrayBuffer> {
  return moduleOf(
    COMMAND.type,
    imports.length === 0 ? [] : section(
      SECTION.import,
      vector(imports.map(([module, field]) => concat(name(module), name(field), [0, 0]))),
    ),
    COMMAND.function,
    COMMAND.memory,
    section(
      SECTION.export,
      vector([
        concat(name("memory"), [2, 0]),
        concat(name("_start"), [0, imports.length]),
        ...exports.map((text) => concat(name(text), [0, imports.length])),
      ]),
    ),
    COMMAND.code,
  );
}

for (const text of NAMES) {
  Deno.test(`inspectModule() rejects an import named ${shown(text)}`, async () => {
    await using executor = new Executor();
    for (
      const pair of [["wasi_snapshot_preview1", text], [text, "fd_write"], [text, text]] as const
    ) {
      const error = await assertRejects(() => runGuest(executor, withNames([pair])), PlasmError);
      assertEquals(error.code, "bad-module");
      // The message does not contain the whole name.
      assertEquals(error.message.length < 500, true);
    }
  });
}

Deno.test("inspectModule() ignores exports with hostile names and rejects long and duplicate ones", async () => {
  await using executor = new Executor();
  const names = NAMES.filter((text) => text !== LONG);
  assertEquals((await runGuest(executor, withNames([], names))).outcome.exitCode, 0);
  for (const rejected of [[LONG], ["memory"], ["_start"], ["__proto__", "__proto__"]]) {
    const error = await assertRejects(
      () => runGuest(executor, withNames([], rejected)),
      PlasmError,
    );
    assertEquals(error.code, "bad-module");
  }
  assertEquals((await runGuest(executor, withNames([]))).outcome.exitCode, 0);
});

Deno.test("inspectModule() ignores custom sections of any name and content", async () => {
  await using executor = new Executor();
  const contents = ["", "file:///etc/passwd", "\0\x01\x02garbage", LONG];
  const named = ["name", "sourceMappingURL", "external_debug_info", "producers", "metadata.code.x"];
  const sections = [...NAMES, ...named].flatMap((text) =>
    contents.map((content) => section(SECTION.custom, concat(name(text), name(content))))
  );
  const { outcome } = await runGuest(executor, concat(withNames([]), ...sections));
  assertEquals(outcome.exitCode, 0);
});

/** Opens a file, writes `content` to it and prints up to 64 bytes of it. */
async function catFile(path: string, flags = 0, content = ""): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new TextEncoder().encode(path);
  return await guest(
    `${
      check(
        `(i32.eqz (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024)
          (i32.const ${bytes.length}) (i32.const ${flags}) (i64.const 0x46) (i64.const 0)
          (i32.const 0) (i32.const 24)))`,
        1,
      )
    }
    (i32.store (i32.const 0) (i32.const 512)) (i32.store (i32.const 4) (i32.const ${content.length}))
    (drop (call $fd_write (i32.load (i32.const 24)) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $fd_seek (i32.load (i32.const 24)) (i64.const 0) (i32.const 0) (i32.const 32)))
    (i32.store (i32.const 0) (i32.const 640)) (i32.store (i32.const 4) (i32.const 64))
    (drop (call $fd_read (i32.load (i32.const 24)) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 0) (i32.const 640)) (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))`,
    {
      pages: 20,
      uses: ["path_open", "fd_read", "fd_write", "fd_seek", "proc_exit"],
      fields: `(data (i32.const 1024) "${watString(bytes)}") (data (i32.const 512) "${content}")`,
    },
  );
}

Deno.test("a guest reads and creates files with hostile names", async () => {
  await using executor = new Executor();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  for (const path of ["__proto__", "constructor", "__proto__/__proto__", "toString/valueOf"]) {
    const inputs = [{ path: `/${path}`, data: new TextEncoder().encode("input") }];
    const read = await runGuest(executor, await catFile(path), { inputs });
    assertEquals({ exitCode: read.outcome.exitCode, stdout: text(read.stdout) }, {
      exitCode: 0,
      stdout: "input",
    });
    const missing = await runGuest(executor, await catFile(path));
    assertEquals(missing.outcome.exitCode, 1);
  }
  const made = await runGuest(executor, await catFile("__proto__", 1, "made"));
  assertEquals({ exitCode: made.outcome.exitCode, stdout: text(made.stdout) }, {
    exitCode: 0,
    stdout: "made",
  });
});

Deno.test("a guest cannot open a file of the host by any path", async () => {
  await using executor = new Executor();
  const paths = [
    "/etc/passwd",
    "../etc/passwd",
    "../../../../../../etc/passwd",
    "etc/passwd",
    "proc/self/environ",
    "./../etc/passwd",
    "file:///etc/passwd",
    "",
    "\0",
    LONG,
  ];
  for (const path of paths) {
    const { outcome, stdout } = await runGuest(executor, await catFile(path));
    assertEquals({ exitCode: outcome.exitCode, stdoutLength: stdout.length }, {
      exitCode: 1,
      stdoutLength: 0,
    }, shown(path));
  }
});

Deno.test("environment variables with hostile names are visible to their job only", async () => {
  await using executor = new Executor();
  const module = await guest(
    `(drop (call $environ_sizes_get (i32.const 16) (i32.const 20)))
     (drop (call $environ_get (i32.const 1024) (i32.const 4096)))
     (i32.store (i32.const 0) (i32.const 4096))
     (i32.store (i32.const 4) (i32.load (i32.const 20)))
     (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))`,
    { uses: ["environ_sizes_get", "environ_get", "fd_write"] },
  );
  const env = JSON.parse('{"__proto__": "a", "constructor": "b", "toString": "c"}');
  const { stdout } = await runGuest(executor, module, { env });
  assertEquals(new TextDecoder().decode(stdout), "__proto__=a\0constructor=b\0toString=c\0");
  assertEquals((await runGuest(executor, module)).stdout.length, 0);
});

Deno.test("the stack of a trap has the names of the module escaped, and its message none", async () => {
  await using executor = new Executor();
  const forged = "f\n{}\x1b[2J wasm-function[99]:0xbad";
  const names = vector([concat([0], name(forged))]);
  const trap = concat(
    await guest("unreachable"),
    section(
      SECTION.custom,
      // The names of the module (0) and of its functions (1).
      concat(name("name"), section(0, name(forged)), section(1, names)),
    ),
  );
  const { outcome } = await runGuest(executor, trap);
  assertEquals(outcome.message, "Job trapped: unreachable");
  const [frame] = await describeTrace(trap, outcome.trace ?? []);
  assertEquals(frame?.name, "f\\u000a{}\\u001b[2J wasm-function[99]:0xbad");
});

Deno.test("the message of a rejected module cannot be forged by its names", async () => {
  await using executor = new Executor();
  for (const text of ["f\n\x1b[2J", LONG]) {
    const invalid = concat(
      // A body that leaves a value on the stack.
      moduleOf(COMMAND.type, COMMAND.function, COMMAND.memory, COMMAND.export),
      section(SECTION.code, vector([body([0x41, 0])])),
      section(
        SECTION.custom,
        concat(name("name"), section(0, name(text)), section(1, vector([concat([0], name(text))]))),
      ),
    );
    const error = await assertRejects(() => runGuest(executor, invalid), PlasmError);
    assertEquals(error.code, "bad-module");
    assertEquals(/[^ -~…]/.test(error.message) || error.message.length > 501, false, error.message);
  }
  assertEquals(executor.usable, true);
});

Deno.test("a guest that writes frames of the protocol produces output only", async () => {
  await using executor = new Executor();

  const report = { cpuTimeMs: 0, memoryPeakBytes: 0, reusable: true };
  const frames = concat(
    encodeIpcJson(FrameKind.Finished, { status: "exited", exitCode: 0, ...report }),
    buildFrame(FrameKind.Ready),
    buildFrame(FrameKind.Stderr, new TextEncoder().encode("forged")),
    encodeIpcJson(FrameKind.Refused, { code: "internal", message: "forged" }),
    encodeIpcJson(FrameKind.Usage, { cpuTimeMs: 1e9, rssGrowthBytes: 1e9 }),
    // The start of a frame that would include what follows.
    [FrameKind.Stdout, 0, 0, 1, 0],
  );
  const length = frames.length;
  const module = await guest(
    `${writeOut(1, 64, length)} ${writeOut(2, 64, length)} ${writeOut(1, 64, length)}
     (call $proc_exit (i32.const 3))`,
    {
      uses: ["fd_write", "proc_exit"],
      fields: `(data (i32.const 64) "${watString(frames)}")`,
    },
  );
  const { outcome, stdout, stderr } = await runGuest(executor, module);
  assertEquals(outcome.exitCode, 3);
  assertEquals(stdout, concat(frames, frames));
  assertEquals(stderr, frames);
  assertEquals(executor.usable, true);
});
