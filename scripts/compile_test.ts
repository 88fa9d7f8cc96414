import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { compilerArguments, parseOptions } from "./compile.ts";
import { BAKED_FLAGS } from "./compile/flags.ts";
import { npmRuntime } from "./compile/npm_runtime.ts";
import {
  archiveName,
  DIST,
  LINUX_TARGETS,
  MACOS_TARGETS,
  productNames,
  TARGETS,
} from "./compile/targets.ts";

const BUNDLE = { entry: "main.js", include: ["worker.ts", "build.json"] };

Deno.test("parseOptions() accepts every target and defaults to the official runtime", () => {
  assertEquals(parseOptions([]), { runtime: "official" });
  const triples = TARGETS.map(({ triple }) => triple);
  assertEquals(parseOptions(triples.flatMap((triple) => ["--target", triple])), {
    runtime: "official",
    targets: [...LINUX_TARGETS, ...MACOS_TARGETS],
  });
  assertEquals(parseOptions(["--runtime", "npm", "--commit", "abc"]), {
    runtime: "npm",
    commit: "abc",
  });
  for (
    const [args, message] of [
      [["--target", "aarch64-apple-ios"], "Unknown target: aarch64-apple-ios; known: x86_64-"],
      [["--runtime", "mine"], "Unknown runtime: mine; known: official, npm"],
      [["--strip"], "Unknown argument: --strip"],
    ] as const
  ) assertThrows(() => parseOptions([...args]), Error, message);
});

Deno.test("compilerArguments() returns the same flags for every target", () => {
  const outputs = TARGETS.map((target) => {
    const args = compilerArguments(target, BUNDLE);
    assertEquals(args[0], "compile");
    assertEquals(args.at(-1), "main.js");
    assertEquals(args.filter((arg) => arg.startsWith("--target=")), [`--target=${target.triple}`]);
    assertEquals(args.filter((arg) => arg.startsWith("--include=")), [
      "--include=worker.ts",
      "--include=build.json",
    ]);
    assertEquals(BAKED_FLAGS.filter((flag) => !args.includes(flag)), []);
    // These would grant all permissions or allow remote code.
    assert(!args.some((arg) => /^(-A|--allow-(all|ffi|import)\b)/.test(arg)), args.join(" "));
    return args.find((arg) => arg.startsWith("--output="));
  });
  const dist = decodeURIComponent(DIST.pathname);
  assertEquals(outputs, TARGETS.map(({ triple }) => `--output=${dist}${triple}/plasm`));
});

Deno.test("releaseFiles() lists macOS binaries without Debian packages", () => {
  const names = productNames();
  for (const target of MACOS_TARGETS) {
    assertEquals(target.debian, undefined);
    assert(names.includes(`${target.triple}/plasm`) && names.includes(archiveName(target)));
  }
  assertEquals(names.filter((name) => name.endsWith(".deb")).length, LINUX_TARGETS.length);
});

Deno.test("npmRuntime() throws for macOS targets", async () => {
  for (const { triple } of MACOS_TARGETS) {
    await assertRejects(
      () => npmRuntime(triple, DIST),
      Error,
      `No npm runtime for ${triple}; available: ${LINUX_TARGETS.map((one) => one.triple)[0]}`,
    );
  }
});
