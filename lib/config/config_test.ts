import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import schema from "../../schemas/config.json" with { type: "json" };
import { PlasmError } from "../core/errors/errors.ts";
import { DEFAULT_CEILINGS } from "../sandbox/limits.ts";
import {
  type Config,
  CONFIG_KEYS,
  CONFIG_SCHEMA,
  configRows,
  defaultConfig,
  envName,
  loadConfig,
  parseConfig,
  planReload,
} from "./mod.ts";

const NO_ENV = (): undefined => undefined;

// Types of the defaults, inferred from the schema's JSON.
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
// These fail to compile when the types and the schema differ.
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
      assertEquals({
        queueMax: config.jobs.queue_max,
        concurrency: config.jobs.concurrency,
        memoryBudgetMb: config.jobs.memory_budget_mb,
      }, { queueMax: 3, concurrency: 2, memoryBudgetMb: 100 });
      assertEquals(config.log, { level: "error", format: "auto" });
      assertEquals({
        queueMax: sources["jobs.queue_max"],
        concurrency: sources["jobs.concurrency"],
        level: sources["log.level"],
      }, { queueMax: "flag", concurrency: "PLASM_JOBS_CONCURRENCY", level: path });
      assertStringIncludes(configRows(loaded).join("\n"), "PLASM_JOBS_CONCURRENCY");
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
    assertEquals({ maxBytes: named.config.cache.max_bytes, file: named.file }, {
      maxBytes: 7,
      file: path,
    });
  });
});

Deno.test("loadConfig() throws when a named file is missing", async () => {
  const error = await assertRejects(
    () => loadConfig({ path: "/nonexistent/config.jsonc", env: NO_ENV }),
    PlasmError,
    "/nonexistent/config.jsonc",
  );
  assertEquals({ code: error.code, exitCode: error.exitCode }, {
    code: "bad-config",
    exitCode: 78,
  });
});

Deno.test("parseConfig() accepts addresses of every kind", () => {
  const id = "12D3KooWGzBvAtN8Z2sJrrfuH4nQwBZ8mcxLnWMmJUMrZJBCmyRb";
  const bootstrap = [
    `/ip4/192.0.2.1/tcp/65535/p2p/${id}`,
    `/dns4/node.example/udp/4001/noise/p2p/${id}`,
    `/ip6/2001:db8::1/tcp/4001/p2p/${id}/p2p-circuit/p2p/${id}`,
    `/dnsaddr/node.example/p2p/${id}`,
  ];
  const listen = ["/ip4/0.0.0.0/tcp/0", "/ip6/::/udp/4001/noise"];
  const network = { bootstrap, listen, announce: ["/dns/node.example/tcp/4001"] };
  assertEquals(parseConfig(JSON.stringify({ network }), "test")["network.bootstrap"], bootstrap);
});

const REFUSED: [string, string, string | undefined][] = [
  [`{"jobs": {"queue_mx": 1}}`, `unknown key "jobs.queue_mx"`, "Did you mean jobs.queue_max"],
  [`{"jbs": {"x": 1}}`, `unknown key "jbs"`, "Did you mean jobs"],
  [`{"queue_max": 1}`, `unknown key "queue_max"`, "Did you mean jobs.queue_max"],
  [`{"netwrk": {}}`, `unknown key "netwrk"`, "Did you mean network"],
  [
    `{"jobs": {\n`,
    "Cannot use test:1:11: it is not JSON with comments: it ends too early",
    "Check quotes, commas and brackets there",
  ],
  [
    `{"jobs": {},\n "log": {}, "jobs": {}}`,
    'Cannot use test:2:13: key "jobs" occurs twice',
    "Join both, or delete one",
  ],
  [`{"network": {"bootstrap": ["/ip4/1.2.3.4/tcp/1/p2p/x"]}}`, "network.bootstrap[0]", undefined],
  [`{"network": {"bootstrap": ["/foo/bar"]}}`, "network.bootstrap[0]", undefined],
  [`{"network": {"announce": ["/ip4/1.2.3.4/tcp/65536"]}}`, "network.announce[0]", undefined],
  [`{"network": {"listen": ["/ip4/0.0.0.0/udp/1/quic-v1"]}}`, "network.listen[0]", undefined],
  [`{"network": {"listen": ["/ip4/0.0.0.256/tcp/1"]}}`, "network.listen[0]", undefined],
  [`{"api": {"tcp": {"listen": "127.0.0.1:65536"}}}`, "api.tcp.listen", undefined],
  [`{"jobs": 3}`, "jobs must be a section in {}, found 3", undefined],
  [`{"jobs": {"queue_max": -1}}`, "jobs.queue_max must be 0 to 1000000, found -1", undefined],
  [
    `{"jobs": {"queue_max": 1.5}}`,
    "jobs.queue_max must be an integer from 0 to 1000000, found 1.5",
    undefined,
  ],
  [
    `{"jobs": {"queue_max": "4"}}`,
    'jobs.queue_max must be an integer from 0 to 1000000, found "4"',
    "Write 4 without quotes",
  ],
  [
    `{"network": {"enabled": "true"}}`,
    'network.enabled must be true or false, found "true"',
    "Write true without quotes",
  ],
  [
    `{"network": {"deny": "a"}}`,
    'network.deny must be a list in [], found "a"',
    'Write ["a"]',
  ],
  [
    `{"api": {"tcp": {"listen": 8080}}}`,
    "api.tcp.listen must be a loopback address and port such as 127.0.0.1:8080",
    undefined,
  ],
  [`{"socket": 7}`, "unix socket or null, found 7", undefined],
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

Deno.test("loadConfig() does not read the system's file when system is false", async () => {
  const read: string[] = [];
  const { readFile } = Deno;
  try {
    Deno.readFile = (path) => {
      read.push(String(path));
      return Promise.reject(new Deno.errors.NotFound());
    };
    const env = (name: string): string | undefined =>
      name === "XDG_CONFIG_HOME" ? "/home/a/.config" : undefined;
    await loadConfig({ env, system: false });
    assertEquals(read, ["/home/a/.config/plasm/config.jsonc"]);
    await loadConfig({ env });
    assertEquals(read.slice(1), ["/home/a/.config/plasm/config.jsonc", "/etc/plasm/config.jsonc"]);
  } finally {
    Deno.readFile = readFile;
  }
});

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
  assertEquals({ enabled: config.network.enabled, stateDir: config.state_dir }, {
    enabled: true,
    stateDir: null,
  });
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
  assertEquals({ level: plan.config.log.level, stateDir: plan.config.state_dir }, {
    level: "debug",
    stateDir: null,
  });
  assertEquals(current.log.level, "info");
});

Deno.test("the default limit of a module is that of plasm exec", () => {
  assertEquals(defaultConfig().jobs.ceilings.module_bytes, DEFAULT_CEILINGS.module_bytes);
});
