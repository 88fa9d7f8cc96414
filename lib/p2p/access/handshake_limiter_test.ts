import { assert, assertEquals } from "@std/assert";
import { HandshakeLimiter, networksOf } from "./handshake_limiter.ts";

/** Starts handshakes that stall; returns the addresses of those that are open. */
function stall(
  limiter: HandshakeLimiter,
  addresses: readonly string[],
  open: string[] = [],
): string[] {
  for (const address of addresses) {
    const entered = limiter.enter(address, () => void open.splice(open.indexOf(address), 1));
    if (entered !== undefined) open.push(address);
  }
  return open;
}

Deno.test("networksOf() returns the /24 and /16 of IPv4, and the /64 and /48 of IPv6", () => {
  for (
    const [address, network, region] of [
      ["192.0.2.9", "192.0.2", "192.0"],
      ["::ffff:192.0.2.9", "192.0.2", "192.0"],
      ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2", "2001:db8:1"],
      ["2001:0DB8:0001::6", "2001:db8:1:0", "2001:db8:1"],
      ["2001:db8::", "2001:db8:0:0", "2001:db8:0"],
      ["::1", "0:0:0:0", "0:0:0"],
      ["fe80::1%eth0", "fe80:0:0:0", "fe80:0:0"],
    ] as const
  ) {
    const found = networksOf(address);
    assertEquals({ network: found.network, region: found.region }, { network, region }, address);
  }
});

Deno.test("HandshakeLimiter limits handshakes of an address and of a network", () => {
  const limiter = new HandshakeLimiter({
    total: 100,
    perAddress: 2,
    perNetwork: 3,
    replaceAfterMs: 60_000,
  });
  const repeated = ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"];
  assertEquals(stall(limiter, repeated), ["192.0.2.1", "192.0.2.1", "192.0.2.2"]);
  const ipv6 = ["2001:db8::1", "2001:db8:0::2", "2001:db8::3", "2001:db8::4", "2001:db8:0:1::4"];
  assertEquals(stall(limiter, ipv6), [
    "2001:db8::1",
    "2001:db8:0::2",
    "2001:db8::3",
    "2001:db8:0:1::4",
  ]);
});

Deno.test("HandshakeLimiter replaces stalled handshakes of the same address and network", () => {
  const limiter = new HandshakeLimiter({ perAddress: 2, perNetwork: 3, replaceAfterMs: 0 });
  const open = stall(limiter, ["192.0.2.1", "192.0.2.2", "192.0.2.1"]);
  assertEquals(stall(limiter, ["192.0.2.1"], open), ["192.0.2.2", "192.0.2.1", "192.0.2.1"]);
  assertEquals(stall(limiter, ["192.0.2.3"], open), ["192.0.2.1", "192.0.2.1", "192.0.2.3"]);
  assertEquals(limiter.size, 3);
});

/** Addresses that spread over IPv4 /24 networks. */
function spread(count: number, networks: number): string[] {
  return Array.from(
    { length: count },
    (_, n) => `10.${n % networks >> 8}.${n % networks & 255}.${1 + Math.floor(n / networks) % 250}`,
  );
}

Deno.test("HandshakeLimiter accepts a handshake from elsewhere during a flood", () => {
  for (const networks of [1, 2, 20, 500, 5000]) {
    const limiter = new HandshakeLimiter({ replaceAfterMs: 60_000 });
    const open = stall(limiter, spread(5000, networks));
    assert(limiter.size <= 256);
    for (const honest of ["192.0.2.1", "2001:db8::1"]) {
      assert(stall(limiter, [honest], open).includes(honest), `${networks} networks, ${honest}`);
      // The flood goes on: it replaces its own handshakes.
      stall(limiter, spread(200, networks), open);
      assert(open.includes(honest), `${networks} networks replaced ${honest}`);
    }
    assertEquals(limiter.size, open.length);
  }
});

Deno.test("HandshakeLimiter frees the place of a handshake that ends, once", () => {
  const limiter = new HandshakeLimiter({ total: 1 });
  const end = limiter.enter("192.0.2.1", () => {});
  end?.();
  end?.();
  assertEquals(limiter.size, 0);
  assert(limiter.enter("192.0.2.1", () => {}) !== undefined);
  end?.();
  assertEquals(limiter.size, 1);
});
