import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/mod.ts";
import { sha256 } from "../../../lib/core/hash.ts";
import { fetchModule, ModuleStore } from "../../../lib/modules/mod.ts";
import { fakeRegistry } from "../../fixtures/modules/registry.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";

const MODULE = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
const OTHER = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 0, 2, 1, 97]);

async function failure(run: () => Promise<unknown>): Promise<PlasmError> {
  return await assertRejects(run, PlasmError);
}

Deno.test("fetchModule() pulls layers of wkg, ORAS and wasm-to-oci", async () => {
  await using registry = fakeRegistry();
  await using dir = await tempDir();
  const cacheDir = dir.path;
  const images = [
    { type: "application/wasm" },
    { type: "application/vnd.wasm.content.layer.v1+wasm" },
    {
      type: "application/octet-stream",
      annotations: { "org.opencontainers.image.title": "tool.wasm" },
    },
  ];
  for (const [n, image] of images.entries()) {
    await registry.putImage("org/tool", `v${n}`, { module: MODULE, ...image });
    const reference = `oci://${registry.host}/org/tool:v${n}`;
    assertEquals((await fetchModule(reference, { cacheDir, env: () => undefined })).module, MODULE);
  }
  // The module is the same: only the first pull has downloaded it.
  assertEquals(registry.requests.filter(({ path }) => path.includes("/blobs/")).length, 1);
});

Deno.test("fetchModule() chooses the entry of an index that is wasm", async () => {
  await using registry = fakeRegistry();
  await using dir = await tempDir();
  const options = { cacheDir: dir.path, env: () => undefined };
  await registry.putImage("tool", "wasm", { module: MODULE });
  const manifest = await (await fetch(`http://${registry.host}/v2/tool/manifests/wasm`)).bytes();
  const entry = (architecture: string, digest: string) => ({
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest,
    size: manifest.length,
    platform: { architecture, os: "linux" },
  });
  const native = entry("amd64", await sha256(OTHER));
  const index = (...manifests: unknown[]) => JSON.stringify({ schemaVersion: 2, manifests });
  registry.put("tool/manifests/latest", index(native, entry("wasm", await sha256(manifest))));
  const { hash } = await fetchModule(`oci://${registry.host}/tool`, options);
  assertEquals(hash, await sha256(MODULE));
  registry.put("tool/manifests/native", index(native));
  const error = await failure(() => fetchModule(`oci://${registry.host}/tool:native`, options));
  assertEquals(error.code, "bad-module");
  assertStringIncludes(error.message, "its index has no entry for wasm, but amd64");
});

Deno.test("fetchModule() verifies digests of manifest and layer", async () => {
  await using registry = fakeRegistry();
  await using dir = await tempDir();
  const options = { cacheDir: dir.path, env: () => undefined };
  const digest = await registry.putImage("tool", "v1", { module: MODULE });
  registry.put(`tool/blobs/${digest}`, OTHER);
  const layer = await failure(() => fetchModule(`oci://${registry.host}/tool:v1`, options));
  assertEquals(layer.details, { expected: digest, actual: await sha256(OTHER) });
  const named = await sha256(OTHER);
  registry.put(`tool/manifests/${named}`, "{}");
  const manifest = await failure(() =>
    fetchModule(`oci://${registry.host}/tool@${named}`, options)
  );
  assertEquals(manifest.code, "protocol");
  assertEquals(await new ModuleStore(options.cacheDir).list(), []);
});

Deno.test("fetchModule() escapes what a registry names", async () => {
  await using registry = fakeRegistry();
  await using dir = await tempDir();
  const options = { cacheDir: dir.path, env: () => undefined };
  const digest = await sha256(MODULE);
  const named = "\x1b[2J\r\n\u202e";
  registry.put(
    "tool/manifests/index",
    JSON.stringify({
      manifests: [{ mediaType: "m", digest, size: 8, platform: { architecture: named } }],
    }),
  );
  registry.put(
    "tool/manifests/image",
    JSON.stringify({ layers: [{ mediaType: named, digest, size: 8 }] }),
  );
  for (const tag of ["index", "image"]) {
    const error = await failure(() => fetchModule(`oci://${registry.host}/tool:${tag}`, options));
    assertEquals(error.code, "bad-module");
    assertStringIncludes(error.message, "\\u001b[2J");
    assertEquals(/[\p{Cc}\u202e]/u.test(error.message), false, error.message);
  }
});

Deno.test("fetchModule() refuses images without exactly one module", async () => {
  await using registry = fakeRegistry();
  await using dir = await tempDir();
  const options = { cacheDir: dir.path, env: () => undefined };
  await registry.putImage("tool", "v1", { module: MODULE, type: "application/x-tar" });
  const none = await failure(() => fetchModule(`oci://${registry.host}/tool:v1`, options));
  assertStringIncludes(none.message, "no layer is a module; its layers are application/x-tar");
  const layer = { mediaType: "application/wasm", digest: await sha256(MODULE), size: 8 };
  registry.put("tool/manifests/v2", JSON.stringify({ layers: [layer, layer] }));
  const two = await failure(() => fetchModule(`oci://${registry.host}/tool:v2`, options));
  assertStringIncludes(two.message, "2 of its layers are modules");
  for (const text of ["[]", "null", "{", '{"layers":[{"digest":1}]}', '{"layers":{}}']) {
    registry.put("tool/manifests/v3", text);
    const error = await failure(() => fetchModule(`oci://${registry.host}/tool:v3`, options));
    assertEquals(["protocol", "bad-module"].includes(error.code), true, text);
  }
});

Deno.test("fetchModule() logs in with Docker's credentials at the registry's own login only", async () => {
  const seen: (string | null)[] = [];
  let realm = "";
  const intercept = (request: Request): Response | undefined => {
    const url = new URL(request.url);
    if (url.pathname === "/token") {
      seen.push(request.headers.get("authorization"));
      assertEquals(url.searchParams.get("scope"), "repository:tool:pull");
      return Response.json({ token: "t0ken" });
    }
    if (request.headers.get("authorization") === "Bearer t0ken") return undefined;
    const challenge = `Bearer realm="${realm}",service="test",scope="repository:tool:pull"`;
    return new Response(null, { status: 401, headers: { "www-authenticate": challenge } });
  };
  await using registry = fakeRegistry({ intercept });
  await using login = fakeRegistry({ intercept });
  await using dir = await tempDir();
  await registry.putImage("tool", "v1", { module: MODULE });
  const auth = btoa("user:secret");
  await Deno.writeTextFile(
    `${dir.path}/config.json`,
    JSON.stringify({ auths: { [registry.host]: { auth } } }),
  );
  const env = (name: string) => name === "DOCKER_CONFIG" ? dir.path : undefined;
  const reference = `oci://${registry.host}/tool:v1`;
  realm = `http://${registry.host}/token`;
  await fetchModule(reference, { cacheDir: `${dir.path}/a`, env });
  // "localhost" is another host than 127.0.0.1: it gets no credentials.
  realm = `http://${login.host.replace("127.0.0.1", "localhost")}/token`;
  await fetchModule(reference, { cacheDir: `${dir.path}/b`, env });
  assertEquals(seen, [`Basic ${auth}`, null]);
  realm = "http://192.0.2.1/token";
  const cacheDir = `${dir.path}/c`;
  const error = await failure(() => fetchModule(reference, { cacheDir, env }));
  assertEquals(error.code, "unreachable");
});
