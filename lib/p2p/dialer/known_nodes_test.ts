import { assertEquals, assertNotEquals } from "@std/assert";
import { ephemeralIdentity } from "../../core/identity.ts";
import { tempDir } from "../../../tests/fixtures/temp_dir.ts";
import {
  KNOWN_NODES_FILE,
  KNOWN_NODES_MS,
  knownNodesKey,
  type NetworkScope,
  readKnownNodes,
  writeKnownNodes,
} from "./known_nodes.ts";

const ADDRESS = "/ip4/192.0.2.1/tcp/4001";
const [ONE, TWO] = [await ephemeralIdentity(), await ephemeralIdentity()];
const NODES = [ONE, TWO].map(({ peerId }) => ({ peerId, addresses: [ADDRESS] }));
const NOW = Date.parse("2026-01-01T00:00:00Z");

Deno.test("readKnownNodes() returns what writeKnownNodes() wrote for the same key, until it expires", async () => {
  await using temp = await tempDir();
  const dir = `${temp.path}/cache`;
  assertEquals(await readKnownNodes(dir, { key: "a" }), []);
  await writeKnownNodes(dir, { key: "a", nodes: NODES, isSearched: true, now: NOW });
  await writeKnownNodes(dir, { key: "b", nodes: [], isSearched: true, now: NOW });
  assertEquals(await readKnownNodes(dir, { key: "a", now: NOW }), NODES);
  // A new order does not prolong the search.
  const nodes = NODES.toReversed();
  await writeKnownNodes(dir, { key: "a", nodes, now: NOW + KNOWN_NODES_MS - 1 });
  assertEquals(await readKnownNodes(dir, { key: "a", now: NOW + KNOWN_NODES_MS - 1 }), nodes);
  assertEquals(await readKnownNodes(dir, { key: "a", now: NOW + KNOWN_NODES_MS }), []);
  assertEquals(await readKnownNodes(dir, { key: "a", now: NOW - 1 }), [], "from the future");
});

Deno.test("writeKnownNodes() limits networks, nodes and addresses and keeps the latest searches", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const addresses = Array.from({ length: 20 }, (_, n) => `/ip4/192.0.2.${n}/tcp/1`);
  const nodes = Array.from({ length: 20 }, () => ({ peerId: ONE.peerId, addresses }));
  for (let n = 0; n < 10; n++) {
    await writeKnownNodes(dir, { key: `${n}`, nodes, isSearched: true, now: NOW + n });
  }
  const now = NOW + 10;
  const found = await readKnownNodes(dir, { key: "9", now });
  assertEquals({ nodes: found.length, addresses: found[0]!.addresses.length }, {
    nodes: 16,
    addresses: 8,
  });
  assertEquals(await readKnownNodes(dir, { key: "1", now }), []);
  assertEquals((await readKnownNodes(dir, { key: "2", now })).length, 16);
});

Deno.test("readKnownNodes() skips what is invalid and never throws", async () => {
  await using temp = await tempDir();
  const valid = { id: ONE.peerId, addresses: [ADDRESS] };
  const network = (nodes: unknown) => [{ key: "a", found_at: NOW, nodes }];
  const cases: [unknown, number][] = [
    ["not JSON", 0],
    [null, 0],
    [{ version: 2, networks: network([valid]) }, 0],
    [{ version: 1, networks: {} }, 0],
    [{ version: 1, networks: [null, 1, { key: "a" }, ...network([valid])] }, 1],
    [{ version: 1, networks: network("none") }, 0],
    [{ version: 1, networks: network([null, 1, { id: 1 }, valid]) }, 1],
    [{ version: 1, networks: network([{ ...valid, id: "12D3" }]) }, 0],
    [{ version: 1, networks: network([{ ...valid, addresses: ["not a multiaddr"] }]) }, 0],
    [{ version: 1, networks: network([{ ...valid, addresses: [] }]) }, 0],
    [{ version: 1, networks: network([{ ...valid, addresses: [`/dns4/${"a".repeat(400)}`] }]) }, 0],
    [{ version: 1, networks: network(Array(1000).fill(valid)) }, 16],
  ];
  for (const [file, count] of cases) {
    const text = typeof file === "string" ? file : JSON.stringify(file);
    await Deno.writeTextFile(`${temp.path}/${KNOWN_NODES_FILE}`, text);
    assertEquals((await readKnownNodes(temp.path, { key: "a", now: NOW })).length, count, text);
  }
});

Deno.test("knownNodesKey() differs by bootstrap nodes and by the machine's addresses, in any order", async () => {
  const scope: NetworkScope = { bootstrap: ["/a", "/b"], mdns: false, ownAddresses: ["1", "2"] };
  const key = await knownNodesKey(scope);
  const same = { bootstrap: ["/b", "/a"], mdns: false, ownAddresses: ["2", "1"] };
  assertEquals(await knownNodesKey(same), key);
  for (
    const change of [{ bootstrap: ["/a"] }, { mdns: true }, { ownAddresses: ["1", "3"] }]
  ) {
    assertNotEquals(await knownNodesKey({ ...scope, ...change }), key);
  }
});
