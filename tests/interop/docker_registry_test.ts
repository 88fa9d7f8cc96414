import { assertEquals, assertRejects } from "@std/assert";
import { connectDaemon } from "../../lib/client/mod.ts";
import { PlasmError } from "../../lib/core/errors/errors.ts";
import { sha256 } from "../../lib/core/hash.ts";
import { fetchModule } from "../../lib/modules/mod.ts";
import { testDaemon } from "../fixtures/daemon/harness.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const encoder = new TextEncoder();

/** Whether Debian's package docker-registry is installed. */
async function hasRegistry(): Promise<boolean> {
  try {
    return (await new Deno.Command("docker-registry", { args: ["--version"] }).output()).success;
  } catch {
    return false;
  }
}

/** A port that is free now; the registry cannot choose one and say which. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Starts the registry and waits until it responds. */
async function startRegistry(dir: string): Promise<AsyncDisposable & { host: string }> {
  const host = `127.0.0.1:${freePort()}`;
  await Deno.writeTextFile(
    `${dir}/registry.yml`,
    `version: 0.1\nlog: {level: error}\nhttp: {addr: "${host}"}\n` +
      `storage: {filesystem: {rootdirectory: "${dir}/data"}}\n`,
  );
  const child = new Deno.Command("docker-registry", {
    args: ["serve", `${dir}/registry.yml`],
    stdout: "null",
    stderr: "null",
  }).spawn();
  const signal = AbortSignal.timeout(30_000);
  for (let responds = false; !responds;) {
    signal.throwIfAborted();
    responds = await fetch(`http://${host}/v2/`).then(async (response) => {
      await response.body?.cancel();
      return response.ok;
    }, () => new Promise((resolve) => setTimeout(() => resolve(false), 20)));
  }
  return {
    host,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.status;
    },
  };
}

/** Pushes content by the distribution specification: a session, then the content in one piece. */
async function pushBlob(base: string, content: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = await sha256(content);
  const session = await fetch(`${base}/blobs/uploads/`, { method: "POST" });
  await session.body?.cancel();
  const url = new URL(session.headers.get("location")!, base);
  url.searchParams.set("digest", digest);
  const headers = { "content-type": "application/octet-stream" };
  const put = await fetch(url, { method: "PUT", body: content, headers });
  await put.body?.cancel();
  assertEquals(put.status, 201);
  return digest;
}

/** Pushes an image of one layer; returns its manifest. */
async function pushImage(
  base: string,
  { tag, module }: { tag: string; module: Uint8Array<ArrayBuffer> },
): Promise<Uint8Array<ArrayBuffer>> {
  const config = encoder.encode("{}");
  const manifest = encoder.encode(JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: {
      mediaType: "application/vnd.wasm.config.v0+json",
      digest: await pushBlob(base, config),
      size: config.length,
    },
    layers: [{
      mediaType: "application/wasm",
      digest: await pushBlob(base, module),
      size: module.length,
    }],
  }));
  const put = await fetch(`${base}/manifests/${tag}`, {
    method: "PUT",
    body: manifest,
    headers: { "content-type": "application/vnd.oci.image.manifest.v1+json" },
  });
  await put.body?.cancel();
  assertEquals(put.status, 201);
  return manifest;
}

/** Runs a test against a registry, or skips it with a message. */
function registryTest(
  name: string,
  run: (registry: { dir: string; host: string }) => Promise<void>,
): void {
  Deno.test(name, async (t) => {
    const ignore = !await hasRegistry();
    await t.step({
      name: ignore ? "skipped: docker-registry is not installed" : "docker-registry",
      ignore,
      async fn() {
        await using dir = await tempDir();
        await using registry = await startRegistry(dir.path);
        await run({ dir: dir.path, host: registry.host });
      },
    });
  });
}

const HELLO = await Deno.readFile("examples/hello/hello.wasm");

/** Another module: the same with an empty custom section. */
const OTHER = Uint8Array.of(...HELLO, 0, 2, 1, 0x61);

registryTest(
  "fetchModule() pulls from a real registry by tag and by digest",
  async ({ dir, host }) => {
    const base = `http://${host}/v2/org/hello`;
    const manifest = await pushImage(base, { tag: "v1", module: HELLO });
    const options = { cacheDir: `${dir}/cache`, env: () => undefined };
    const reference = `oci://${host}/org/hello:v1`;
    const { hash } = await fetchModule(reference, options);
    assertEquals(hash, await sha256(HELLO));
    const byDigest = `oci://${host}/org/hello@${await sha256(manifest)}`;
    assertEquals((await fetchModule(byDigest, options)).module, HELLO);
    // A manifest digest always leads to the same module: offline it is known.
    assertEquals((await fetchModule(byDigest, { ...options, offline: true })).hash, hash);

    // A tag that moves leads to the new module, unless it is pinned.
    await pushImage(base, { tag: "v1", module: OTHER });
    assertEquals((await fetchModule(reference, options)).hash, await sha256(OTHER));
    assertEquals((await fetchModule(byDigest, options)).hash, hash);
    const elsewhere = { ...options, cacheDir: `${dir}/other` };
    const pinned = `${reference}#${hash.replace(":", "=")}`;
    const error = await assertRejects(() => fetchModule(pinned, elsewhere), PlasmError);
    assertEquals([error.code, error.details], ["bad-module", {
      expected: hash,
      actual: await sha256(OTHER),
    }]);
  },
);

registryTest("the daemon pulls from a real registry that it allows", async ({ host }) => {
  const base = `http://${host}/v2/org/hello`;
  const manifest = await pushImage(base, { tag: "v1", module: HELLO });
  await using fixture = await testDaemon({
    config: { "modules.hosts": ["127.0.0.1"] },
    real: true,
  });
  using client = connectDaemon({ socket: fixture.daemon.socket });
  const hash = await client.fetchModule(`oci://${host}/org/hello:v1`);
  assertEquals(hash, await sha256(HELLO));
  const { stdout } = await client.run(hash, { stdin: encoder.encode("abc") });
  assertEquals(new TextDecoder().decode(stdout), "cba");
  await pushImage(base, { tag: "v1", module: OTHER });
  assertEquals(await client.fetchModule(`oci://${host}/org/hello:v1`), await sha256(OTHER));
  const byDigest = `oci://${host}/org/hello@${await sha256(manifest)}`;
  assertEquals(await client.fetchModule(byDigest), hash);
  const unknown = () => client.fetchModule(`oci://${host}/org/hello:v2`);
  assertEquals((await assertRejects(unknown, PlasmError)).code, "not-found");
});
