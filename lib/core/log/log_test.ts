import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { resetSync } from "@logtape/logtape";
import { PlasmError } from "../errors/mod.ts";
import { fstatSync } from "node:fs";
import { configureLogging, getLog, isJournal, type LoggingOptions } from "./log.ts";

function capture(options: LoggingOptions, log: () => void): string[] {
  const lines: string[] = [];
  configureLogging({ ...options, write: (line) => lines.push(line) });
  try {
    log();
  } finally {
    resetSync();
  }
  return lines;
}

Deno.test("configureLogging() writes JSON lines with level, ts, event and properties", () => {
  const [line, ...rest] = capture({ format: "json" }, () => {
    const log = getLog("daemon").with({ node_id: "12D3" });
    log.info("job-finished", { job_id: "job_1", latency_ms: 12 });
    log.debug("not-shown");
  });
  assertEquals(rest, []);
  const { ts, ...fields } = JSON.parse(line!);
  assertMatch(ts, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assertEquals(fields, {
    level: "info",
    event: "job-finished",
    from: "daemon",
    node_id: "12D3",
    job_id: "job_1",
    latency_ms: 12,
  });
});

Deno.test("configureLogging() writes an error as its code and message", () => {
  const [line] = capture({ format: "json" }, () => {
    getLog("daemon").error("job-failed", { error: new PlasmError("policy", "Cannot accept job") });
  });
  assertEquals(JSON.parse(line!).error, { code: "policy", message: "Cannot accept job" });
});

for (const format of ["json", "human"] as const) {
  Deno.test(`configureLogging() begins ${format} lines with syslog priorities when priorities is set`, () => {
    const lines = capture({ format, level: "debug", priorities: true }, () => {
      const log = getLog("x");
      log.debug("a");
      log.info("b");
      log.warning("c");
      log.error("d");
    });
    assertEquals(lines.map((line) => line.slice(0, 3)), ["<7>", "<6>", "<4>", "<3>"]);
  });
}

Deno.test("every log event in lib is in kebab-case", async () => {
  const found: string[] = [];
  const read = async (dir: URL): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(dir)) {
      if (isDirectory) await read(new URL(`${name}/`, dir));
      else if (name.endsWith(".ts") && !name.endsWith("_test.ts")) {
        const text = await Deno.readTextFile(new URL(name, dir));
        const logged = /\blog\.(?:debug|info|warning|error)\(\s*"([^"]+)"|\bevent: "([^"]+)"/g;
        for (const [, direct, field] of text.matchAll(logged)) found.push((direct ?? field)!);
      }
    }
  };
  await read(new URL("../../", import.meta.url));
  assert(found.includes("network-started") && found.includes("daemon-started"));
  assertEquals(found.filter((event) => !/^[a-z]+(-[a-z]+)*$/.test(event)), []);
});

Deno.test("isJournal() compares JOURNAL_STREAM with the descriptor", () => {
  const { dev, ino } = fstatSync(2);
  assertEquals(isJournal(`${dev}:${ino}`), true);
  assertEquals(isJournal(`${dev}:${ino + 1}`), false);
  assertEquals(isJournal(`${dev}:${ino}`, 1_000_000), false);
  assertEquals(isJournal(""), false);
});

const HOSTILE = 'a\u001b[2J\r\n{"level":"forged"}\u009b31m\u007f\u2028\u0000';

for (const format of ["json", "human"] as const) {
  Deno.test(`configureLogging() escapes control characters in ${format} lines`, () => {
    const lines = capture({ format }, () => {
      getLog("x").warning("peer-error", { text: HOSTILE, nested: { text: HOSTILE } });
    });
    assertEquals(lines.length, 1);
    // deno-lint-ignore no-control-regex -- control characters are what is looked for
    assert(!/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029]/.test(lines[0]!));
    assertEquals(lines[0]!.split("\n").length, 2);
    if (format === "json") assertEquals(JSON.parse(lines[0]!).text, HOSTILE);
    else assertStringIncludes(lines[0]!, "WARN  peer-error text=");
  });
}

Deno.test("configureLogging() may be called again to change the level", () => {
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  const log = getLog("x");
  configureLogging({ level: "error", format: "json", write });
  log.info("first");
  configureLogging({ level: "debug", format: "json", write });
  log.debug("second");
  resetSync();
  assertEquals(lines.map((line) => JSON.parse(line).event), ["second"]);
});
