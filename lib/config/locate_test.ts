import { assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../core/errors/mod.ts";
import { lineAndColumn, locateKey } from "./locate.ts";
import { parseConfig, parseValue } from "./parse.ts";

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
