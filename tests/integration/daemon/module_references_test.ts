import { assertEquals, assertRejects } from "@std/assert";
import { connectDaemon } from "../../../lib/client/mod.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { sha256 } from "../../../lib/core/hash.ts";
import { testDaemon } from "../../fixtures/daemon/harness.ts";

const HELLO = await Deno.readFile(new URL("../../../examples/hello/hello.wasm", import.meta.url));
const HASH = await sha256(HELLO);

/** A server of the module. */
function serve() {
  const paths: string[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    ({ url, headers }) => {
      const { pathname } = new URL(url);
      paths.push(pathname);
      if (pathname === "/redirect") return Response.redirect("http://127.0.0.2/hello.wasm", 302);
      if (headers.get("if-none-match") === '"1"') return new Response(null, { status: 304 });
      return new Response(HELLO, { headers: { etag: '"1"' } });
    },
  );
  const base = `http://localhost:${server.addr.port}`;
  return { base, paths, [Symbol.asyncDispose]: () => server.shutdown() };
}

Deno.test("DaemonClient.fetchModule() stores the module of a listed server, which jobs then name", async () => {
  await using server = serve();
  await using fixture = await testDaemon({
    config: { "modules.hosts": ["localhost", "127.0.0.1"] },
    real: true,
  });
  using client = connectDaemon({ socket: fixture.daemon.socket });
  for (let n = 0; n < 2; n++) {
    assertEquals(await client.fetchModule(`${server.base}/hello.wasm`), HASH);
  }
  assertEquals(server.paths, ["/hello.wasm", "/hello.wasm"]);
  // What is pinned and stored needs no server.
  assertEquals(await client.fetchModule(`https://example.org/x#${HASH.replace(":", "=")}`), HASH);
  assertEquals(await client.fetchModule(HASH), HASH);
  assertEquals(await client.module(HASH), HELLO);
  const { stdout } = await client.run(HASH, { stdin: new TextEncoder().encode("abc") });
  assertEquals(new TextDecoder().decode(stdout), "cba");
  const redirected = await assertRejects(
    () => client.fetchModule(`${server.base}/redirect`),
    PlasmError,
    "127.0.0.2 is not listed",
  );
  assertEquals(redirected.code, "policy");
});

Deno.test("DaemonClient.fetchModule() downloads from no server that is not listed", async () => {
  await using server = serve();
  const codes: string[] = [];
  for (const hosts of [[], ["example.org"], ["localhost"]]) {
    await using fixture = await testDaemon({ config: { "modules.hosts": hosts } });
    using client = connectDaemon({ socket: fixture.daemon.socket });
    const url = `${server.base}/hello.wasm`;
    codes.push((await assertRejects(() => client.fetchModule(url), PlasmError)).code);
    codes.push((await assertRejects(() => client.fetchModule(HASH), PlasmError)).code);
    codes.push((await assertRejects(() => client.fetchModule("./file.wasm"), PlasmError)).code);
  }
  assertEquals(codes, Array(3).fill(["policy", "not-found", "usage"]).flat());
  assertEquals(server.paths, []);
});
