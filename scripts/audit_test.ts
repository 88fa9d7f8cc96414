import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { type Advisory, audit, lockedVersions, verdict } from "./audit.ts";

/** A registry that answers one question. */
async function withRegistry(
  answer: (asked: unknown) => Response,
  ask: (endpoint: string) => Promise<void>,
): Promise<void> {
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => answer(await request.json()),
  );
  await ask(`http://127.0.0.1:${server.addr.port}/bulk`);
}

const advisory = (severity: string): Advisory => ({
  package: "hono",
  severity,
  title: "Reads too much",
  url: "https://example.org/1",
});

Deno.test("lockedVersions() has each version of a package once, without its peers", () => {
  const npm = {
    "a@1.0.0": {},
    "a@2.0.0-rc.1_b@1.0.0": {},
    "a@1.0.0_c@1.0.0": {},
    "@s/n@3.1.0": {},
  };
  assertEquals(lockedVersions({ npm }), { a: ["1.0.0", "2.0.0-rc.1"], "@s/n": ["3.1.0"] });
  assertEquals(lockedVersions({}), {});
  assertThrows(() => lockedVersions({ npm: { a: {} } }), Error, "Unknown in deno.lock: a");
});

Deno.test("lockedVersions() reads this project's lock file", async () => {
  const lock = JSON.parse(await Deno.readTextFile(new URL("../deno.lock", import.meta.url)));
  const versions = lockedVersions(lock);
  assert(Object.keys(versions).length > 50);
  for (const version of Object.values(versions).flat()) assertMatch(version, /^\d+\.\d+\.\d+/);
});

Deno.test("audit() asks about the versions and tells the advisories", () =>
  withRegistry(
    (asked) => {
      assertEquals(asked, { hono: ["4.0.0"] });
      const { package: name, ...rest } = advisory("high");
      return Response.json({ [name]: [{ ...rest, id: 1, vulnerable_versions: "<4.1.0" }] });
    },
    async (endpoint) =>
      assertEquals(await audit({ hono: ["4.0.0"] }, endpoint), {
        advisories: [advisory("high")],
      }),
  ));

Deno.test("audit() is skipped, and says why, where a registry does not answer", async () => {
  const refusal = () => new Response(null, { status: 405, statusText: "Method Not Allowed" });
  for (
    const [answer, reason] of [
      [refusal, /bulk answers 405 Method Not Allowed$/],
      [() => new Response("<html>"), /not valid JSON$/],
      [() => Response.json([]), /other than a list of advisories$/],
    ] as const
  ) {
    await withRegistry(answer, async (endpoint) => {
      const found = await audit({}, endpoint);
      assertMatch("skipped" in found ? found.skipped : "", reason);
    });
  }
});

Deno.test("verdict() fails from high on, and for severities that it does not know", () => {
  for (
    const [severity, status] of [
      ...[["info", 0], ["low", 0], ["moderate", 0]] as const,
      ...[["high", 1], ["critical", 1], ["undefined", 1]] as const,
    ]
  ) {
    const found = verdict({ advisories: [advisory("low"), advisory(severity)] });
    assertEquals([found.status, found.lines.length], [status, 3], severity);
    assertEquals(
      found.lines.at(-1),
      `2 known vulnerabilities, ${status} of them high or worse`,
    );
  }
  assertEquals(verdict({ advisories: [] }).status, 0);
});

Deno.test("verdict() of an audit that was skipped fails only where it must not be", () => {
  const skipped = { skipped: "no network" };
  assertEquals(verdict(skipped), { lines: ["SKIPPED: the audit: no network"], status: 0 });
  assertEquals(verdict(skipped, true).status, 1);
});
