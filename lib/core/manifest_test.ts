import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import schema from "../../schemas/manifest.json" with { type: "json" };
import { PlasmError } from "./errors/mod.ts";
import { EMPTY_HASH } from "./hash.ts";
import {
  checkManifest,
  createManifest,
  DEFAULT_RESOURCES,
  manifestHash,
  MAX_MANIFEST_BYTES,
  parseManifest,
  parseManifestFile,
} from "./manifest.ts";

const HASH = `sha256:${"a".repeat(64)}`;
const MANIFEST = createManifest({ module_hash: HASH });

/** Changes fields of the default manifest and returns the field that the error names. */
function fieldRefused(change: Record<string, unknown>): unknown {
  const error = assertThrows(() => checkManifest({ ...MANIFEST, ...change }), PlasmError);
  assertEquals(error.code, "bad-manifest");
  return error.details.field;
}

function resources(change: Record<string, unknown>): Record<string, unknown> {
  return { resources: { ...DEFAULT_RESOURCES, ...change } };
}

Deno.test("createManifest() adds the schema's defaults", () => {
  const defaults = (properties: Record<string, object>): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(properties).filter(([, field]) => "default" in field)
        .map(([name, field]) => [name, (field as { default: unknown }).default]),
    );
  assertEquals(MANIFEST as unknown, {
    version: "0.2",
    module_hash: HASH,
    ...defaults(schema.properties),
    priority: schema.$defs.priority.default,
    resources: defaults(schema.$defs.resources.properties),
  });
});

Deno.test("createManifest() preserves given fields and treats undefined as absent", () => {
  const manifest = createManifest({
    module_hash: HASH,
    args: ["a"],
    stdin_hash: undefined,
    priority: undefined,
    resources: { memory_mb: 7, cpu_seconds: undefined },
  });
  assertEquals(manifest.args, ["a"]);
  assertEquals(manifest.priority, "normal");
  assertEquals(manifest.resources, { cpu_cores: 1, memory_mb: 7, timeout_seconds: 60 });
  assertEquals("stdin_hash" in manifest, false);
});

Deno.test("createManifest() throws when the result violates the schema", () => {
  const error = assertThrows(
    () => createManifest({ module_hash: HASH, resources: { memory_mb: 70000 } }),
    PlasmError,
  );
  assertEquals(
    error.message,
    "Cannot accept manifest: resources.memory_mb must be 1 to 65536, found 70000",
  );
});

Deno.test("checkManifest() names the field when it is invalid", () => {
  for (const name of Object.keys(MANIFEST)) {
    const { [name as keyof typeof MANIFEST]: _, ...rest } = MANIFEST;
    const error = assertThrows(() => checkManifest(rest), PlasmError);
    assertEquals(error.details.field, name);
  }
  assertEquals(fieldRefused({ extra: 1 }), "extra");
  assertEquals(fieldRefused(JSON.parse('{"__proto__":1}')), "__proto__");
  assertEquals(fieldRefused({ version: "0.1" }), "version");
  assertEquals(fieldRefused({ module_hash: HASH.toUpperCase() }), "module_hash");
  assertEquals(fieldRefused({ priority: "urgent" }), "priority");
  assertEquals(fieldRefused({ idempotent: 1 }), "idempotent");
  assertEquals(fieldRefused({ args: Array(1025).fill("") }), "args");
  assertEquals(fieldRefused({ args: ["", "a\0"] }), "args[1]");
  assertEquals(fieldRefused({ args: ["x".repeat(32769)] }), "args[0]");
  assertEquals(fieldRefused({ args: ["\udfff"] }), "args[0]");
  assertEquals(fieldRefused({ env: { A: "\0" } }), "env.A");
  assertEquals(fieldRefused({ env: { A: 1 } }), "env.A");
  assertEquals(fieldRefused({ capabilities: ["a", "a"] }), "capabilities");
  assertEquals(fieldRefused({ capabilities: ["-a"] }), "capabilities[0]");
});

Deno.test("checkManifest() throws when a resource is out of bounds", () => {
  const { properties } = schema.$defs.resources;
  for (const [name, { minimum, maximum }] of Object.entries(properties)) {
    for (const value of [minimum, maximum]) {
      checkManifest({ ...MANIFEST, ...resources({ [name]: value }) });
    }
    for (const value of [minimum - 1, maximum + 1, minimum + 0.5, 1e300, "1", null, NaN]) {
      assertEquals(fieldRefused(resources({ [name]: value })), `resources.${name}`);
    }
  }
  assertEquals(fieldRefused(resources({ memory: 1 })), "resources.memory");
  assertEquals(fieldRefused({ resources: null }), "resources");
});

Deno.test("checkManifest() throws when a name in env is not portable", () => {
  checkManifest({ ...MANIFEST, env: { _a1: "", constructor: "x", toString: "y" } });
  for (const name of ["", "1A", "A-B", "A=B", "A\0", "é", "A\n", "__proto__", "A".repeat(129)]) {
    const env = JSON.parse(`{${JSON.stringify(name)}:"x"}`);
    assertEquals(String(fieldRefused({ env })).startsWith("env"), true, name);
  }
});

Deno.test("checkManifest() throws when a guest path is not normalized", () => {
  const fine = [
    "a",
    "/a",
    "a/b.txt",
    "/data/",
    "d/",
    "...",
    "a/..b/.c",
    "ü/\u{1f600}",
    "a\\b",
    "a b",
    "/",
    "./",
  ];
  for (const path of fine) {
    checkManifest({ ...MANIFEST, inputs: { [path]: EMPTY_HASH } });
  }
  const bad = [
    ...[
      "",
      "//",
      "//a",
      "a//b",
      "a//",
      ".",
      "..",
      "../",
      ".//",
      "/./",
      "./a",
      "../a",
      "/..",
      "/./a",
    ],
    ...["a/.", "a/..", "a/./b", "a/../b", "a/../", "a\0", "\0", "__proto__", "x".repeat(256)],
    "x/".repeat(513),
  ];
  for (const path of bad) {
    const inputs = JSON.parse(`{${JSON.stringify(path)}:"${EMPTY_HASH}"}`);
    assertEquals(String(fieldRefused({ inputs })).startsWith("inputs"), true, path);
  }
});

Deno.test("checkManifest() throws when inputs do not form a tree", () => {
  assertEquals(fieldRefused({ inputs: { "d/": HASH } }), 'inputs["d/"]');
  assertEquals(fieldRefused({ inputs: { "a/b/c": HASH, "a/b": HASH } }), 'inputs["a/b/c"]');
  assertEquals(fieldRefused({ inputs: { "/a/b": HASH, "/a": HASH } }), 'inputs["/a/b"]');
  assertEquals(fieldRefused({ inputs: { "a/": EMPTY_HASH, "a": HASH } }), 'inputs["a/"]');
  checkManifest({ ...MANIFEST, inputs: { "a/": EMPTY_HASH, "a/b": HASH, "a/bc": HASH } });
});

Deno.test("checkManifest() accepts times of inputs and of directories above them only", () => {
  const inputs = { "a/b/c": HASH, "/d": HASH, "/": EMPTY_HASH };
  const times = { "a/b/c": 0, "a/b/": 1, "a/": 253402300799999, "/d": 5, "/": 6 };
  checkManifest({ ...MANIFEST, inputs, input_times: times });
  for (const path of ["a", "a/b", "a/b/c/", "b/", "d"]) {
    const refused = fieldRefused({ inputs, input_times: { [path]: 1 } });
    assertEquals(String(refused).startsWith("input_times"), true, path);
  }
  for (const time of [-1, 0.5, 253402300800000, "1"]) {
    assertEquals(fieldRefused({ inputs, input_times: { "/d": time } }), 'input_times["/d"]');
  }
  assertEquals(fieldRefused({ input_times: { "d": 1 } }), "input_times.d");
});

Deno.test("checkManifest() accepts guest paths but the streams' names as outputs", () => {
  checkManifest({ ...MANIFEST, outputs: ["a", "/stdout", "stdout/", "out/", "/", "stderr.txt"] });
  for (const path of ["", "stdout", "stderr", "__proto__", "../a", "a//b", "./a", "a\0"]) {
    assertEquals(fieldRefused({ outputs: [path] }), "outputs[0]", path);
  }
  assertEquals(fieldRefused({ outputs: ["a", "a"] }), "outputs");
});

Deno.test("checkManifest() accepts seed and epoch_ms with the profile deterministic only", () => {
  const fields = { seed: "0".repeat(64), epoch_ms: 9223372036854 };
  checkManifest({ ...MANIFEST, profile: "default" });
  checkManifest({ ...MANIFEST, profile: "deterministic", ...fields });
  for (const [field, value] of Object.entries(fields)) {
    assertEquals(fieldRefused({ [field]: value }), field);
    assertEquals(fieldRefused({ profile: "default", [field]: value }), field);
  }
  const profile = "deterministic";
  for (const seed of ["", "0".repeat(63), "A".repeat(64), 1]) {
    assertEquals(fieldRefused({ profile, seed }), "seed");
  }
  for (const epoch_ms of [-1, 0.5, 9223372036855, "1"]) {
    assertEquals(fieldRefused({ profile, epoch_ms }), "epoch_ms");
  }
  assertEquals(fieldRefused({ profile: "strict" }), "profile");
});

Deno.test("checkManifest() accepts any argv0 without NUL", () => {
  checkManifest({ ...MANIFEST, argv0: "" });
  checkManifest({ ...MANIFEST, argv0: "busybox ü" });
  assertEquals(fieldRefused({ argv0: "a\0" }), "argv0");
  assertEquals(fieldRefused({ argv0: 1 }), "argv0");
});

Deno.test("parseManifest() throws when a manifest is incomplete", () => {
  assertEquals(parseManifest(JSON.stringify(MANIFEST)), MANIFEST);
  for (const text of ["", "{", "[]", "null", "7", `{"version":"0.1"}`, '"x"']) {
    assertEquals(assertThrows(() => parseManifest(text), PlasmError).code, "bad-manifest");
  }
  const padded = JSON.stringify(MANIFEST) + " ".repeat(MAX_MANIFEST_BYTES);
  assertThrows(() => parseManifest(padded), PlasmError, `at most ${MAX_MANIFEST_BYTES} bytes`);
});

Deno.test("parseManifestFile() adds defaults for absent fields", () => {
  assertEquals(parseManifestFile("{}", { moduleHash: HASH }), MANIFEST);
  const text = '{"resources":{"memory_mb":9},"args":["x"]}';
  const manifest = parseManifestFile(new TextEncoder().encode(text), { moduleHash: HASH });
  assertEquals(manifest.resources.memory_mb, 9);
  assertEquals(manifest.args, ["x"]);
  for (const text of ["[]", "null", '{"resources":null}', '{"resources":[]}', '{"x":1}']) {
    assertThrows(() => parseManifestFile(text, { moduleHash: HASH }), PlasmError);
  }
});

Deno.test("parseManifestFile() throws when the manifest names another module", () => {
  const text = JSON.stringify({ module_hash: EMPTY_HASH });
  const error = assertThrows(() => parseManifestFile(text, { moduleHash: HASH }), PlasmError);
  assertEquals(error.details.field, "module_hash");
  const other = parseManifestFile(text, { moduleHash: HASH, allowOther: true });
  assertEquals(other.module_hash, EMPTY_HASH);
});

Deno.test("manifestHash() depends on every field but not on their order", async () => {
  const hash = await manifestHash(MANIFEST);
  const reversed = Object.fromEntries(Object.entries(MANIFEST).reverse());
  assertEquals(await manifestHash(checkManifest(reversed)), hash);
  const changes = [{ args: [""] }, { priority: "low" as const }, { stdin_hash: HASH }, {
    inputs: {},
  }];
  for (const change of changes) {
    assertNotEquals(await manifestHash({ ...MANIFEST, ...change }), hash);
  }
});
