import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/mod.ts";
import { Downloader } from "../../../lib/modules/download.ts";
import { HostPolicy } from "../../../lib/modules/policy/mod.ts";
import { createCertificate } from "../../fixtures/certificate.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";

const MODULE = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);

Deno.test("Downloader.get() connects over TLS to the address that the policy checked", async (t) => {
  await using dir = await tempDir();
  const certificate = await createCertificate(dir.path, ["modules.example", "other.example"]);
  await t.step({
    name: certificate === undefined ? "skipped: openssl is not installed" : "over HTTPS",
    ignore: certificate === undefined,
    async fn() {
      const hosts: string[] = [];
      await using server = Deno.serve({
        hostname: "127.0.0.1",
        port: 0,
        ...certificate!,
        onListen: () => {},
      }, ({ url }) => {
        const { hostname, pathname, port } = new URL(url);
        hosts.push(hostname);
        if (pathname === "/elsewhere") {
          return Response.redirect(`https://other.example:${port}/tool.wasm`, 302);
        }
        if (pathname === "/loopback") return Response.redirect(`https://127.0.0.1:${port}/`, 302);
        if (pathname === "/plain") return Response.redirect("http://modules.example/", 302);
        return new Response(MODULE);
      });
      const base = `https://modules.example:${server.addr.port}`;
      const resolved: string[] = [];
      const get = async (path: string, listed: string[]): Promise<Uint8Array> => {
        using downloader = new Downloader({
          caFile: `${dir.path}/cert.pem`,
          policy: new HostPolicy(listed, {
            resolve(name) {
              resolved.push(name);
              return Promise.resolve(["127.0.0.1"]);
            },
          }),
        });
        return (await downloader.get(new URL(path, base), { maxBytes: 100 })).content;
      };
      const codeOf = async (path: string, listed: string[]): Promise<string> =>
        (await assertRejects(() => get(path, listed), PlasmError)).code;
      const listed = ["modules.example", "127.0.0.1"];

      assertEquals(await get("/tool.wasm", listed), MODULE);
      assertEquals([resolved.splice(0), hosts.splice(0)], [["modules.example"], [
        "modules.example",
      ]]);
      assertEquals(await get("/elsewhere", [...listed, "other.example"]), MODULE);
      assertEquals(hosts.splice(0), ["modules.example", "other.example"]);

      assertEquals(await codeOf("/tool.wasm", ["modules.example"]), "policy"); // its address is not listed
      assertEquals(hosts.splice(0), []);
      assertEquals(await codeOf("/elsewhere", listed), "policy");
      assertEquals(hosts.splice(0), ["modules.example"]);
      assertEquals(await codeOf("/loopback", listed), "policy");
      assertEquals(await codeOf("/plain", listed), "policy");
    },
  });
});

Deno.test("Downloader.get() with a policy reports a server that does not answer", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  for (const scheme of ["http", "https"]) {
    using downloader = new Downloader({ policy: new HostPolicy(["127.0.0.1"]) });
    const url = new URL(`${scheme}://127.0.0.1:${port}/`);
    const error = await assertRejects(() => downloader.get(url, { maxBytes: 10 }), PlasmError);
    assertEquals(error.code, "unreachable");
  }
});
