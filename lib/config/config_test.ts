import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import schema from "../../schemas/config.json" with { type: "json" };
import { PlasmError } from "../core/errors/errors.ts";
import {
  type Config,
  CONFIG_KEYS,
  CONFIG_SCHEMA,
  defaultConfig,
  envName,
  formatConfig,
  loadConfig,
  parseConfig,
  planReload,
} from "./mod.ts";

const NO_ENV = (): undefined => undefined;

// The types of the defaults, as TypeScript reads them from the schema's JSON.
type Defaults<S> = S extends { properties: infer P }
  ? { [K in keyof P as K extends "$schema" ? never : K]: Defaults<P[K]> }
  : S extends { default: infer D } ? D
  : never;
type Widened<T> = T extends string ? string
  : T extends (infer I)[] ? Widened<I>[]
  : T extends object ? { [K in keyof T]: Widened<T[K]> }
  : T;
type Keys<T, P extends string = ""> = T extends unknown[] ? never
  : T extends object
    ? { [K in keyof T & string]: `${P}${K}` | Keys<T[K], `${P}${K}.`> }[keyof T & string]
  : never;
type FromSchema = Defaults<typeof schema>;
// Each fails to compile when the types and the schema part.
const _defaultsFit: (defaults: FromSchema) => Widened<Config> = (defaults) => defaults;
const _sameKeys: (key: Keys<Config>) => Keys<FromSchema> = (key) => key;
const _sameKeysBack: (key: Keys<FromSchema>) => Keys<Config> = (key) => key;

async function withFile(text: string, run: (path: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${dir}/config.jsonc`, text);
    await run(`${dir}/config.jsonc`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("loadConfig() prefers flags to the environment, and the environment to the file", async () => {
  await withFile(
    `{ // a comment
      "jobs": { "queue_max": 1, "concurrency": 1, "memory_budget_mb": 100 },
      "log": { "level": "error" },
    }`,
    async (path) => {
      const env = (name: string): string | undefined =>
        ({ PLASM_JOBS_QUEUE_MAX: "2", PLASM_JOBS_CONCURRENCY: "2" })[name];
      const loaded = await loadConfig({ path, env, flags: { "jobs.queue_max": 3 } });
      const { config, sources } = loaded;
      assertEquals(
        [config.jobs.queue_max, config.jobs.concurrency, config.jobs.memory_budget_mb],
        [3, 2, 100],
      );
      assertEquals(config.log, { level: "error", format: "auto" });
      assertEquals(
        [sources["jobs.queue_max"], sources["jobs.concurrency"], sources["log.level"]],
        ["flag", "PLASM_JOBS_CONCURRENCY", path],
      );
      assertStringIncludes(formatConfig(loaded), "PLASM_JOBS_CONCURRENCY");
    },
  );
});

Deno.test("loadConfig() prefers PLASM_CONFIG to the user's file, and that to the system's", async () => {
  await withFile(`{"cache": {"max_bytes": 7}}`, async (path) => {
    const dir = path.slice(0, path.lastIndexOf("/"));
    await Deno.mkdir(`${dir}/plasm`);
    await Deno.writeTextFile(`${dir}/plasm/config.jsonc`, `{"cache": {"max_bytes": 8}}`);
    const user = await loadConfig({ env: (n) => n === "XDG_CONFIG_HOME" ? dir : undefined });
    assertEquals(user.config.cache.max_bytes, 8);
    const named = await loadConfig({ env: (n) => n === "PLASM_CONFIG" ? path : undefined });
    assertEquals([named.config.cache.max_bytes, named.file], [7, path]);
  });
});

Deno.test("loadConfig() throws when a named file is missing", async () => {
  const error = await assertRejects(
    () => loadConfig({ path: "/nonexistent/config.jsonc", env: NO_ENV }),
    PlasmError,
    "/nonexistent/config.jsonc",
  );
  assertEquals([error.code, error.exitCode], ["bad-config", 78]);
});

const REFUSED: [string, string, string | undefined][] = [
  [`{"jobs": {"queue_mx": 1}}`, `unknown key "jobs.queue_mx"`, "Did you mean jobs.queue_max"],
  [`{"jbs": {"x": 1}}`, `unknown key "jbs"`, "Did you mean jobs"],
  [`{"queue_max": 1}`, `unknown key "queue_max"`, "Did you mean jobs.queue_max"],
  [`{"netwrk": {}}`, `unknown key "netwrk"`, "Did you mean network"],
  [`{"jobs": 3}`, "jobs must be a section, found number", undefined],
  [`{"jobs": {"queue_max": -1}}`, "jobs.queue_max must be 0 to 1000000, found -1", undefined],
  [`{"jobs": {"queue_max": 1.5}}`, "jobs.queue_max", undefined],
  [`{"log": {"level": "loud"}}`, "log.level", undefined],
  [`{"api": {"tcp": {"listen": "0.0.0.0:80"}}}`, "api.tcp.listen", undefined],
  [`[]`, "it is not an object", undefined],
  [`{"jobs": `, "Cannot use test", undefined],
];
for (const [text, message, hint] of REFUSED) {
  Deno.test(`parseConfig() throws when the text is ${text}`, () => {
    const error = assertThrows(() => parseConfig(text, "test"), PlasmError, message);
    if (hint !== undefined) assertEquals(error.hint, hint);
  });
}

Deno.test("loadConfig() names the variable when its value is invalid", async () => {
  const cases: [string, string][] = [
    ["PLASM_JOBS_QUEUE_MAX", "many"],
    ["PLASM_JOBS_QUEUE_MAX", "-5"],
    ["PLASM_NETWORK_ENABLED", "perhaps"],
    ["PLASM_LOG_LEVEL", "loud"],
  ];
  for (const [name, value] of cases) {
    await assertRejects(
      () => loadConfig({ env: (asked) => asked === name ? value : undefined }),
      PlasmError,
      name,
    );
  }
});

Deno.test("loadConfig() reads lists, booleans and nulls from the environment", async () => {
  const values: Record<string, string> = {
    PLASM_NETWORK_BOOTSTRAP: "/ip4/1.2.3.4/tcp/1, /ip4/5.6.7.8/tcp/2",
    PLASM_NETWORK_ENABLED: "1",
    PLASM_STATE_DIR: "",
  };
  const { config } = await loadConfig({ env: (name) => values[name] });
  assertEquals(config.network.bootstrap, ["/ip4/1.2.3.4/tcp/1", "/ip4/5.6.7.8/tcp/2"]);
  assertEquals([config.network.enabled, config.state_dir], [true, null]);
});

Deno.test("CONFIG_KEYS have descriptions, distinct variables and valid defaults", () => {
  assertEquals(CONFIG_SCHEMA, schema);
  assert(CONFIG_KEYS.length > 40);
  assertEquals(new Set(CONFIG_KEYS.map(({ name }) => envName(name))).size, CONFIG_KEYS.length);
  for (const { name, description } of CONFIG_KEYS) assert(description.length > 5, name);
  parseConfig(JSON.stringify(defaultConfig()), "defaults");
});

Deno.test("planReload() applies live keys and lists those that need a restart", () => {
  const current = defaultConfig();
  const next = structuredClone(current);
  next.log.level = "debug";
  next.jobs.ceilings.memory_mb = 5;
  next.state_dir = "/elsewhere";
  const plan = planReload(current, next);
  assertEquals(plan.applied, ["jobs.ceilings.memory_mb", "log.level"]);
  assertEquals(plan.ignored, ["state_dir"]);
  assertEquals([plan.config.log.level, plan.config.state_dir], ["debug", null]);
  assertEquals(current.log.level, "info");
});
