import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/mod.ts";
import { sha256 } from "../../../lib/core/hash.ts";
import { fetchModule, ModuleStore } from "../../../lib/modules/mod.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";

const MODULE = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
const OTHER = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 0, 2, 1, 97]);

type Handler = (request: Request) => Response | Promise<Response>;

/** Serves HTTP on loopback. */
function serve(handler: Handler, tls: { cert?: string; key?: string } = {}) {
  const options = { hostname: "127.0.0.1", port: 0, onListen: () => {} };
  const server = tls.cert === undefined
    ? Deno.serve(options, handler)
    : Deno.serve({ ...options, cert: tls.cert, key: tls.key! }, handler);
  const { port } = server.addr;
  return { port, [Symbol.asyncDispose]: () => server.shutdown() };
}

/** Responds with raw bytes and closes the connection. */
function serveRaw(response: string) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const conn of listener) {
      await conn.read(new Uint8Array(4096));
      await conn.write(new TextEncoder().encode(response));
      conn.close();
    }
  })();
  return {
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      listener.close();
      await serving;
    },
  };
}

async function failure(run: () => Promise<unknown>): Promise<PlasmError> {
  return await assertRejects(run, PlasmError);
}

Deno.test("fetchModule() downloads once while the entity tag stays the same", async () => {
  let current = MODULE;
  const statuses: number[] = [];
  await using server = serve(async (request) => {
    const etag = `"${await sha256(current)}"`;
    const isSame = request.headers.get("if-none-match") === etag;
    statuses.push(isSame ? 304 : 200);
    return isSame
      ? new Response(null, { status: 304, headers: { etag } })
      : new Response(current, { headers: { etag } });
  });
  await using dir = await tempDir();
  const cacheDir = dir.path;
  const url = `http://127.0.0.1:${server.port}/tool.wasm`;
  const options = { cacheDir, env: () => undefined };
  assertEquals(await fetchModule(url, options), { module: MODULE, hash: await sha256(MODULE) });
  assertEquals((await fetchModule(url, options)).module, MODULE);
  current = OTHER;
  assertEquals((await fetchModule(url, { ...options, offline: true })).module, MODULE);
  assertEquals((await fetchModule(url, options)).module, OTHER);
  assertEquals(statuses, [200, 304, 200]);
  const hash = await sha256(MODULE);
  assertEquals((await fetchModule(hash, options)).module, MODULE);
  const [latest] = await new ModuleStore(cacheDir).list();
  assertEquals(latest!.bytes > 0 && (await new ModuleStore(cacheDir).list()).length, 2);
});

Deno.test("fetchModule() refuses content other than the pinned, and needs no network once it has it", async () => {
  let requests = 0;
  let current = OTHER;
  await using server = serve(() => {
    requests++;
    return new Response(current);
  });
  await using dir = await tempDir();
  const options = { cacheDir: dir.path, env: () => undefined };
  const hash = await sha256(MODULE);
  const url = `http://127.0.0.1:${server.port}/t.wasm#${hash.replace(":", "=")}`;
  const error = await failure(() => fetchModule(url, options));
  assertEquals(error.code, "bad-module");
  assertEquals(error.details, { expected: hash, actual: await sha256(OTHER) });
  assertEquals(await new ModuleStore(options.cacheDir).list(), []);
  current = MODULE;
  await fetchModule(url, options);
  await fetchModule(url, options);
  assertEquals(requests, 2);
});

Deno.test("fetchModule() replaces a damaged module of the cache", async () => {
  await using server = serve(() => new Response(MODULE));
  await using dir = await tempDir();
  const options = { cacheDir: dir.path, env: () => undefined };
  const hash = await sha256(MODULE);
  const url = `http://127.0.0.1:${server.port}/t.wasm#${hash.replace(":", "=")}`;
  await fetchModule(url, options);
  await Deno.writeFile(`${dir.path}/${hash.slice(7)}.wasm`, OTHER);
  await Deno.writeTextFile(`${dir.path}/references.json`, "{not json");
  assertEquals((await fetchModule(url, options)).module, MODULE);
});

Deno.test("fetchModule() caps size, compressed and announced", async () => {
  const bomb = await new Response(
    new Blob([new Uint8Array(4 * 2 ** 20)]).stream().pipeThrough(new CompressionStream("gzip")),
  ).bytes();
  await using server = serve(({ url }) =>
    new URL(url).pathname === "/bomb"
      ? new Response(bomb, { headers: { "content-encoding": "gzip" } })
      : new Response(new Uint8Array(2 ** 20 + 1))
  );
  await using huge = serveRaw("HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n");
  await using dir = await tempDir();
  const options = { cacheDir: dir.path, env: () => undefined, maxBytes: 2 ** 20 };
  for (const url of [`${server.port}/plain`, `${server.port}/bomb`, `${huge.port}/`]) {
    const error = await failure(() => fetchModule(`http://127.0.0.1:${url}`, options));
    assertEquals(error.code, "too-large", url);
  }
});

Deno.test("fetchModule() refuses truncated content, and reports what a server says", async () => {
  await using short = serveRaw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc");
  await using dir = await tempDir();
  const options = { cacheDir: dir.path, env: () => undefined };
  const truncated = await failure(() => fetchModule(`http://127.0.0.1:${short.port}/`, options));
  assert(["unreachable", "protocol"].includes(truncated.code), truncated.code);
  for (
    const [status, code] of [
      [404, "not-found"],
      [401, "unauthorized"],
      [403, "unauthorized"],
      [503, "unreachable"],
      [418, "protocol"],
    ] as const
  ) {
    await using server = serve(() => new Response("no", { status }));
    const error = await failure(() => fetchModule(`http://127.0.0.1:${server.port}/`, options));
    assertEquals(error.code, code);
    assertStringIncludes(error.message, String(status));
  }
  assertEquals(await new ModuleStore(options.cacheDir).list(), []);
});

Deno.test("fetchModule() follows redirects that stay on https, up to a limit", async () => {
  await using server = serve(({ url }) => {
    const { pathname } = new URL(url);
    if (pathname === "/start") return Response.redirect(new URL("/end", url));
    if (pathname === "/loop") return Response.redirect(new URL("/loop", url));
    if (pathname === "/out") return Response.redirect("http://192.0.2.1/x.wasm");
    if (pathname === "/file") {
      return new Response(null, { status: 302, headers: { location: "file:///etc/passwd" } });
    }
    return new Response(MODULE);
  });
  await using dir = await tempDir();
  const options = { cacheDir: dir.path, env: () => undefined };
  const base = `http://127.0.0.1:${server.port}`;
  assertEquals((await fetchModule(`${base}/start`, options)).module, MODULE);
  for (const [path, code] of [["loop", "protocol"], ["out", "policy"], ["file", "policy"]]) {
    assertEquals((await failure(() => fetchModule(`${base}/${path}`, options))).code, code);
  }
});

Deno.test("fetchModule() ends when the signal aborts", async () => {
  await using server = serve(() => new Response(new ReadableStream({ start() {} })));
  await using dir = await tempDir();
  const stop = new AbortController();
  const options = {
    cacheDir: dir.path,
    env: () => undefined,
    signal: stop.signal,
  };
  const fetching = failure(() => fetchModule(`http://127.0.0.1:${server.port}/`, options));
  stop.abort();
  assertEquals((await fetching).code, "interrupted");
});

Deno.test("ModuleStore.write() deletes the least recently used modules beyond its limit", async () => {
  await using dir = await tempDir();
  const cache = new ModuleStore(dir.path, { maxBytes: 20 });
  const [first, second] = [await sha256(MODULE), await sha256(OTHER)];
  await cache.write(first, MODULE);
  await cache.remember("https://example.com/first", { digest: first });
  await Deno.utime(`${dir.path}/${first.slice(7)}.wasm`, new Date(0), new Date(0));
  await cache.write(second, OTHER);
  assertEquals((await cache.list()).map(({ digest }) => digest), [
    second,
    first,
  ]);
  const third = new Uint8Array(10);
  await cache.write(await sha256(third), third);
  assertEquals(await cache.read(first), undefined);
  assertEquals(await cache.lookUp("https://example.com/first"), undefined);
});
