import { assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "./errors/errors.ts";
import { EMPTY_HASH, sha256 } from "./hash.ts";
import { type JobDescription, manifestOf } from "./job_description.ts";
import { createManifest, manifestHash, parseManifest } from "./manifest.ts";

const MODULE = await sha256(new Uint8Array([1]));
const OTHER = await sha256(new Uint8Array([2]));

Deno.test("manifestOf() fills in the hashes, whether fields or a manifest describe the job", async () => {
  const fields = { args: ["a"], env: { A: "1" }, resources: { memory_mb: 64 }, idempotent: true };
  const inputs = { "d/": EMPTY_HASH, "d/a": OTHER };
  const hashes = { module: MODULE, inputs };
  const expected = createManifest({ module_hash: MODULE, ...fields, inputs });
  const same: JobDescription[] = [fields, { manifest: fields }, {
    manifest: parseManifest(JSON.stringify(expected)),
  }];
  for (const description of same) {
    const manifest = manifestOf(description, hashes);
    assertEquals(await manifestHash(manifest), await manifestHash(expected));
  }
  // Without inputs the field is absent, so that equal jobs have equal manifests.
  assertEquals("inputs" in manifestOf({}, { module: MODULE, inputs: {} }), false);
  assertEquals(manifestOf({}, { module: MODULE, stdin: OTHER }).stdin_hash, OTHER);
});

Deno.test("manifestOf() throws when a manifest names other content, or fields are given too", () => {
  const named = { module_hash: MODULE, inputs: { a: OTHER, "d/": EMPTY_HASH } };
  const cases: [string, JobDescription, { module?: string; inputs?: Record<string, string> }][] = [
    ["usage", { args: [], manifest: {} }, {}],
    ["bad-module", { manifest: { module_hash: OTHER } }, {}],
    ["bad-manifest", { env: { "A=B": "" } }, {}],
    ["bad-input", { manifest: named }, { inputs: {} }],
    ["bad-input", { manifest: named }, { inputs: { a: MODULE } }],
    ["bad-input", { manifest: named }, { inputs: { a: OTHER, b: OTHER } }],
    ["bad-input", { manifest: named }, { inputs: { a: OTHER, "e/": EMPTY_HASH } }],
  ];
  for (const [code, description, { module = MODULE, inputs }] of cases) {
    const error = assertThrows(() => manifestOf(description, { module, inputs }), PlasmError);
    assertEquals(error.code, code, JSON.stringify({ description, inputs }));
  }
});
