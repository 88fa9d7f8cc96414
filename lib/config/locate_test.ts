import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { PlasmError } from "../core/errors/mod.ts";
import { lineAndColumn, locateKey } from "./locate.ts";
import { decodeConfig, parseConfig, parseValue } from "./parse.ts";

const TEXT = `{
  // "jobs": { "queue_max": 1 }
  "log": { "level": "debug" }, /* "jobs" */
  "jobs": {
    "queue_max": 3,
    "ceilings": { "memory_mb": "x" }
  }
}`;

Deno.test("locateKey() finds a key and skips comments and values", () => {
  const place = (name: string): string | undefined => {
    const at = locateKey(TEXT, name);
    return at === undefined ? undefined : lineAndColumn(TEXT, at);
  };
  assertEquals(
    ["log.level", "jobs", "jobs.queue_max", "jobs.ceilings.memory_mb", "queue_max", "debug"].map(
      place,
    ),
    ["3:12", "4:3", "5:5", "6:19", undefined, undefined],
  );
});

Deno.test("parseConfig() names the line and column of a list's element", () => {
  const text =
    '{\n "network": {\n  "listen": [\n   "/ip4/0.0.0.0/tcp/1", // "bad"\n   "bad"\n  ]\n }\n}';
  assertStringIncludes(
    assertThrows(() => parseConfig(text, "c.jsonc"), PlasmError).message,
    "Cannot use c.jsonc:5:4: network.listen[1] must be",
  );
});

Deno.test("parseConfig() refuses paths that only a shell would expand", () => {
  for (const key of ["state_dir", "socket", "api.tcp.token_file", "api.metrics.token_file"]) {
    for (const path of ["~/plasm", "$HOME/plasm"]) {
      const text = key.split(".").reduceRight(
        (value, part) => `{"${part}": ${value}}`,
        `"${path}"`,
      );
      const { message } = assertThrows(() => parseConfig(text, "c.jsonc"), PlasmError);
      assertStringIncludes(message, `${key} must be a path, without ~ or $NAME`);
    }
  }
});

Deno.test("decodeConfig() drops a byte order mark and refuses what is not UTF-8", () => {
  assertEquals(decodeConfig(Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d), "c.jsonc"), "{}");
  assertEquals(
    assertThrows(() => decodeConfig(Uint8Array.of(0x7b, 0x0a, 0x22, 0xe4), "c.jsonc"), PlasmError)
      .message,
    "Cannot use c.jsonc:2:2: it is not UTF-8",
  );
});

Deno.test("parseConfig() names file, line, column, key and the allowed values", () => {
  const message = (text: string): string =>
    assertThrows(() => parseConfig(text, "c.jsonc"), PlasmError).message;
  assertEquals(
    message(TEXT),
    'Cannot use c.jsonc:6:19: jobs.ceilings.memory_mb must be an integer from 1 to 65536, found "x"',
  );
  assertEquals(
    message('{\n  "jobs": 3\n}'),
    "Cannot use c.jsonc:2:3: jobs must be a section in {}, found 3",
  );
  assertEquals(message('{ "netwrk": {} }'), 'Cannot use c.jsonc:1:3: unknown key "netwrk"');
  assertEquals(
    message('{\n  "log": {} "x"\n}'),
    'Cannot use c.jsonc:2:13: it is not JSON with comments: "x" is not expected here',
  );
});

Deno.test("parseValue() names a key of a section that is set as a whole", () => {
  const error = assertThrows(() => parseValue("jobs", "{}", "--set"), PlasmError);
  assertEquals([error.message, error.hint], [
    'Cannot use --set: "jobs" is a section',
    "Name a key of it, such as jobs.concurrency",
  ]);
});

Deno.test("parseValue() reads a list as JSON or separated by commas", () => {
  const key = "network.bootstrap";
  const list = ["/dns4/a/tcp/1", "/dns4/b/tcp/2"];
  assertEquals(parseValue(key, JSON.stringify(list), "--set"), list);
  assertEquals(parseValue(key, list.join(","), "--set"), list);
  const { message } = assertThrows(() => parseValue(key, '["a"', "--set"), PlasmError);
  assertEquals(message, 'Cannot use --set: network.bootstrap must be a list, found ["a"');
});
