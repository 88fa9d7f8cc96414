import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { type Advisory, audit, lockedVersions, verdict } from "./audit.ts";

/** Starts a registry that serves a single request. */
function startRegistry(
  respond: (versions: unknown) => Response,
): { endpoint: string } & AsyncDisposable {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => respond(await request.json()),
  );
  return {
    endpoint: `http://127.0.0.1:${server.addr.port}/bulk`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

const advisory = (severity: string): Advisory => ({
  package: "hono",
  severity,
  title: "Reads too much",
  url: "https://example.org/1",
});

Deno.test("lockedVersions() lists each version of a package once, without peer suffixes", () => {
  const npm = {
    "a@1.0.0": {},
    "a@2.0.0-rc.1_b@1.0.0": {},
    "a@1.0.0_c@1.0.0": {},
    "@s/n@3.1.0": {},
  };
  assertEquals(lockedVersions({ npm }), { a: ["1.0.0", "2.0.0-rc.1"], "@s/n": ["3.1.0"] });
  assertEquals(lockedVersions({}), {});
  assertThrows(() => lockedVersions({ npm: { a: {} } }), Error, "Unknown entry in deno.lock: a");
});

Deno.test("lockedVersions() reads this project's lock file", async () => {
  const lock = JSON.parse(await Deno.readTextFile(new URL("../deno.lock", import.meta.url)));
  const versions = lockedVersions(lock);
  assert(Object.keys(versions).length > 50);
  for (const version of Object.values(versions).flat()) assertMatch(version, /^\d+\.\d+\.\d+/);
});

Deno.test("audit() sends the versions and returns the advisories", async () => {
  await using registry = startRegistry((versions) => {
    assertEquals(versions, { hono: ["4.0.0"] });
    const { package: name, ...rest } = advisory("high");
    return Response.json({ [name]: [{ ...rest, id: 1, vulnerable_versions: "<4.1.0" }] });
  });
  assertEquals(await audit({ hono: ["4.0.0"] }, registry.endpoint), {
    advisories: [advisory("high")],
  });
});

Deno.test("audit() reports the reason when the registry cannot be queried", async () => {
  const refusal = () => new Response(null, { status: 405, statusText: "Method Not Allowed" });
  for (
    const [respond, reason] of [
      [refusal, /bulk returned 405 Method Not Allowed$/],
      [() => new Response("<html>"), /not valid JSON$/],
      [() => Response.json([]), /did not return a list of advisories$/],
    ] as const
  ) {
    await using registry = startRegistry(respond);
    const found = await audit({}, registry.endpoint);
    assertMatch("skipped" in found ? found.skipped : "", reason);
  }
});

Deno.test("verdict() fails for high, critical and unknown severities", () => {
  for (
    const [severity, status] of [
      ...[["info", 0], ["low", 0], ["moderate", 0]] as const,
      ...[["high", 1], ["critical", 1], ["undefined", 1]] as const,
    ]
  ) {
    const found = verdict({ advisories: [advisory("low"), advisory(severity)] });
    assertEquals(
      { status: found.status, lines: found.lines.length },
      { status, lines: 3 },
      severity,
    );
    assertEquals(
      found.lines.at(-1),
      `2 known vulnerabilities, ${status} rated high or worse`,
    );
  }
  assertEquals(verdict({ advisories: [] }).status, 0);
});

Deno.test("verdict() fails on a skipped audit only with strict", () => {
  const skipped = { skipped: "no network" };
  assertEquals(verdict(skipped), { lines: ["SKIPPED: audit: no network"], status: 0 });
  assertEquals(verdict(skipped, true).status, 1);
});
