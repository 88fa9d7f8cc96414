/**
 * The dashboard on the daemon's TCP address: sign-in by form, and what a browser that has signed in may do.
 *
 * @module
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { testDaemon } from "../../fixtures/daemon/harness.ts";

/** Sends requests to the daemon's TCP address. */
function requester(port: number) {
  const origin = `http://127.0.0.1:${port}`;
  return async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`${origin}${path}`, { redirect: "manual", ...init });
    const { status, headers } = response;
    return { status, headers, text: await response.text() };
  };
}

/** A form as a browser sends it. */
function form(token: string, headers: Record<string, string> = {}): RequestInit {
  return { method: "POST", body: new URLSearchParams({ token }), headers };
}

Deno.test("the daemon serves the page over TCP when the browser has exchanged the token for a cookie", async () => {
  await using fixture = await testDaemon({ config: { "api.tcp.listen": "127.0.0.1:0" } });
  const { port, token } = fixture.daemon.tcp!;
  const send = requester(port);
  const first = await send("/");
  assertEquals(first.status, 401);
  assertStringIncludes(first.text, `<form method="post" action="/sign-in">`);
  assertStringIncludes(first.headers.get("content-security-policy") ?? "", "default-src 'none'");
  assertEquals(first.text.includes("<script"), false);

  // A wrong token, none, and one in the address, where histories would store it.
  assertEquals((await send("/sign-in", form("0".repeat(64)))).status, 403);
  assertEquals((await send("/sign-in", form(""))).status, 403);
  assertEquals((await send("/sign-in", form("x".repeat(5000)))).status, 413);
  assertEquals((await send(`/?token=${token}`)).status, 401);
  assertEquals((await send(`/sign-in?token=${token}`)).status, 303);

  const origin = `http://127.0.0.1:${port}`;
  const opened = await send("/sign-in", form(token, { origin, "sec-fetch-site": "same-origin" }));
  assertEquals(opened.status, 303);
  assertEquals(opened.headers.get("location"), "/");
  const [cookie = "", ...attributes] = (opened.headers.get("set-cookie") ?? "").split("; ");
  assertMatch(cookie, new RegExp(`^plasm_${port}=[0-9a-f]{64}$`));
  assertEquals(attributes, ["HttpOnly", "SameSite=Strict", "Path=/"]);
  assertEquals(cookie.includes(token), false);

  const page = await send("/", { headers: { cookie } });
  assertStringIncludes(page.text, `<script type="module" src="/dashboard.js">`);
  assertEquals(
    page.headers.get("content-security-policy"),
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
      "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  );
  assertEquals((await send("/", { method: "DELETE", headers: { cookie } })).status, 405);
  const node = await send("/v1/node", { headers: { cookie, origin } });
  assertEquals(JSON.parse(node.text).peer_id, fixture.daemon.identity.peerId);
  // A download that is opened as a page runs nothing.
  assertEquals(node.headers.get("content-security-policy"), "default-src 'none'; sandbox");
  assertEquals(node.headers.get("x-content-type-options"), "nosniff");
  assertEquals(node.headers.get("access-control-allow-origin"), null);
});

Deno.test("the daemon refuses the page's cookie when a request comes from another site or after a restart", async () => {
  await using fixture = await testDaemon({
    config: {
      "api.tcp.listen": "127.0.0.1:0",
      "api.tcp.allowed_origins": ["https://good.example"],
    },
  });
  const { port, token } = fixture.daemon.tcp!;
  const send = requester(port);
  const opened = await send("/sign-in", form(token));
  const cookie = (opened.headers.get("set-cookie") ?? "").split("; ")[0]!;
  const status = async (path: string, headers: Record<string, string>) =>
    (await send(path, { headers })).status;
  assertEquals(await status("/v1/node", { cookie }), 200);
  assertEquals(await status("/v1/node", { cookie: `${cookie}0` }), 401);
  assertEquals(await status("/v1/node", { cookie: `plasm_${port}=${token}` }), 401);
  assertEquals(await status("/v1/node", {}), 401);
  for (const path of ["/v1/node", "/dashboard.js"]) {
    // Another site, and another port of this machine.
    assertEquals(await status(path, { cookie, origin: "https://evil.example" }), 403);
    assertEquals(await status(path, { cookie, origin: `http://127.0.0.1:${port + 1}` }), 403);
  }
  // A page whose name was rebound to this machine; fetch() sends no other Host.
  for (const path of ["/", "/v1/node", "/dashboard.js"]) {
    using conn = await Deno.connect({ port });
    const head = `GET ${path} HTTP/1.1\r\nHost: evil.example:${port}\r\nCookie: ${cookie}\r\n` +
      "Connection: close\r\n\r\n";
    await conn.write(new TextEncoder().encode(head));
    const answer = await new Response(conn.readable).text();
    assertMatch(answer, /^HTTP\/1.1 403 /);
  }
  // Without an origin, as images and links are requested.
  for (const site of ["cross-site", "same-site"]) {
    assertEquals(await status("/v1/node", { cookie, "sec-fetch-site": site }), 401);
    assertEquals(await status("/dashboard.js", { cookie, "sec-fetch-site": site }), 403);
    assertEquals(await status("/", { cookie, "sec-fetch-site": site }), 401);
  }
  // An allowed origin needs the token of the API, also in a browser that has signed in.
  assertEquals(await status("/v1/node", { cookie, origin: "https://good.example" }), 401);
  const foreignForm = form(token, { origin: "https://evil.example" });
  assertEquals((await send("/sign-in", foreignForm)).status, 403);

  await fixture.restart();
  const { port: next } = fixture.daemon.tcp!;
  const renamed = cookie.replace(/^plasm_\d+/, `plasm_${next}`);
  const again = await requester(next)("/v1/node", { headers: { cookie: renamed } });
  assertEquals(again.status, 401);
});
