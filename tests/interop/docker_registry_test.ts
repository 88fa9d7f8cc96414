import { assertEquals } from "@std/assert";
import { sha256 } from "../../lib/core/hash.ts";
import { fetchModule } from "../../lib/modules/mod.ts";
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

Deno.test("fetchModule() pulls from a real registry by tag and by digest", async (t) => {
  const ignore = !await hasRegistry();
  const name = ignore ? "skipped: docker-registry is not installed" : "docker-registry";
  await t.step({ name, ignore, fn: pull });
});

async function pull(): Promise<void> {
  await using dir = await tempDir();
  await using registry = await startRegistry(dir.path);
  const module = await Deno.readFile("examples/hello/hello.wasm");
  const base = `http://${registry.host}/v2/org/hello`;
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
  const put = await fetch(`${base}/manifests/v1`, {
    method: "PUT",
    body: manifest,
    headers: { "content-type": "application/vnd.oci.image.manifest.v1+json" },
  });
  await put.body?.cancel();
  assertEquals(put.status, 201);
  const options = { cacheDir: `${dir.path}/cache`, env: () => undefined };
  const { hash } = await fetchModule(`oci://${registry.host}/org/hello:v1`, options);
  assertEquals(hash, await sha256(module));
  const byDigest = `oci://${registry.host}/org/hello@${await sha256(manifest)}`;
  assertEquals((await fetchModule(byDigest, options)).module, module);
  // A manifest digest always leads to the same module: offline it is known.
  assertEquals((await fetchModule(byDigest, { ...options, offline: true })).hash, hash);
}
