import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/mod.ts";
import { HostPolicy } from "./host_policy.ts";

/** A policy whose names resolve to some addresses. */
function policy(hosts: string[], addresses: string[] = ["93.184.215.14"]): HostPolicy {
  return new HostPolicy(hosts, {
    resolve: () => Promise.resolve(addresses),
    ownAddresses: () => ["93.184.215.99"],
  });
}

async function refused(hosts: string[], url: string, addresses?: string[]): Promise<string> {
  const error = await assertRejects(
    () => policy(hosts, addresses).check(new URL(url)),
    PlasmError,
    undefined,
    `${url} by ${addresses}`,
  );
  return error.code;
}

Deno.test("HostPolicy.check() allows listed names and names below a listed domain", async () => {
  const allowed = policy(["Example.org", "*.example.net"]);
  for (const host of ["example.org", "EXAMPLE.org.", "a.example.net", "a.b.example.net"]) {
    assertEquals(await allowed.check(new URL(`https://${host}/x`)), ["93.184.215.14"]);
  }
  for (const host of ["example.com", "a.example.org", "example.net", "notexample.net"]) {
    assertEquals(await refused(["example.org", "*.example.net"], `https://${host}/`), "policy");
  }
  assertEquals(await refused([], "https://example.org/"), "policy");
});

Deno.test("HostPolicy.check() refuses addresses that are not public", async () => {
  const addresses = [
    ...["0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254"],
    ...["172.16.0.1", "172.31.255.255", "192.168.1.1", "192.0.2.1", "198.18.0.1", "224.0.0.1"],
    ...["255.255.255.255", "::", "::1", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "fc00::1"],
    ...["fd12::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:7f00:1", "64:ff9b::7f00:1"],
    ...["2002:7f00:1::", "2001::1", "93.184.215.99"],
  ];
  for (const address of addresses) {
    assertEquals(await refused(["example.org"], "https://example.org/", [address]), "policy");
    const mixed = ["93.184.215.14", address];
    assertEquals(await refused(["example.org"], "https://example.org/", mixed), "policy");
  }
  for (const address of ["93.184.215.14", "172.32.0.1", "2606:4700::1", "::ffff:8.8.8.8"]) {
    await policy(["example.org"], [address]).check(new URL("https://example.org/"));
  }
});

Deno.test("HostPolicy.check() allows private addresses that are listed, too", async () => {
  const url = new URL("https://registry.corp/");
  assertEquals(await policy(["registry.corp", "10.0.0.0/8"], ["10.1.2.3"]).check(url), [
    "10.1.2.3",
  ]);
  assertEquals(await policy(["registry.corp", "fd00::/8"], ["fd12::1"]).check(url), ["fd12::1"]);
  assertEquals(await refused(["registry.corp", "10.1.0.0/16"], url.href, ["10.2.0.1"]), "policy");
});

Deno.test("HostPolicy.check() requires that an address in a URL is listed", async () => {
  for (const host of ["8.8.8.8", "127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:7f00:1]"]) {
    assertEquals(await refused(["example.org"], `https://${host}/`), "policy");
  }
  assertEquals(await policy(["127.0.0.1"]).check(new URL("http://127.1/")), ["127.0.0.1"]);
  assertEquals(await policy(["127.0.0.1"]).check(new URL("http://[::ffff:7f00:1]/")), [
    "127.0.0.1",
  ]);
});

Deno.test("HostPolicy.check() reports a name without addresses", async () => {
  assertEquals(await refused(["example.org"], "https://example.org/", []), "unreachable");
  const failing = new HostPolicy(["example.org"], {
    resolve: () => Promise.reject(new Error("ENOTFOUND")),
  });
  const error = await assertRejects(
    () => failing.check(new URL("https://example.org/")),
    PlasmError,
  );
  assertEquals(error.code, "unreachable");
});
