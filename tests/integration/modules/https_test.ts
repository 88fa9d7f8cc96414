import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/mod.ts";
import { fetchModule } from "../../../lib/modules/mod.ts";
import { createCertificate } from "../../fixtures/certificate.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";

const MODULE = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);

Deno.test("fetchModule() trusts the authority in SSL_CERT_FILE, and no other", async (t) => {
  await using dir = await tempDir();
  const certificate = await createCertificate(dir.path, ["localhost"]);
  await t.step({
    name: certificate === undefined ? "skipped: openssl is not installed" : "over HTTPS",
    ignore: certificate === undefined,
    async fn() {
      const server = Deno.serve({
        hostname: "127.0.0.1",
        port: 0,
        ...certificate!,
        onListen: () => {},
      }, () => new Response(MODULE));
      const url = `https://localhost:${server.addr.port}/tool.wasm`;
      const cacheDir = `${dir.path}/cache`;
      const trusting = (name: string) =>
        name === "SSL_CERT_FILE" ? `${dir.path}/cert.pem` : undefined;
      const error = await assertRejects(
        () => fetchModule(url, { cacheDir, env: () => undefined }),
        PlasmError,
      );
      assertEquals(error.code, "unreachable");
      assertEquals((await fetchModule(url, { cacheDir, env: trusting })).module, MODULE);
      await server.shutdown();
    },
  });
});
