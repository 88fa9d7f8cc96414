import { assertEquals } from "@std/assert";
import { FIELDS } from "../../../tests/fixtures/p2p/identities.ts";
import type { Candidate } from "./candidate.ts";
import type { Capability } from "./capability.ts";
import { RankedCandidates, type RankedCandidatesOptions } from "./ranked_candidates.ts";

function candidate(peerId: string, score: number): Candidate {
  const capability = FIELDS as Capability;
  return { peerId, capability, latencyMs: 1, score, transport: "tcp", path: "direct" };
}

/** Order in which candidates are returned. */
async function orderOf(
  candidates: Candidate[],
  options: Partial<RankedCandidatesOptions> = {},
): Promise<string> {
  using ranked = new RankedCandidates({
    isAvoided: () => false,
    isNew: () => false,
    random: () => 1,
    ...options,
  });
  for (const each of candidates) ranked.add(each);
  const first = await ranked.next();
  ranked.end();
  const order = [first];
  while (order.at(-1) !== undefined) order.push(await ranked.next());
  return order.map((each) => each?.peerId).join("");
}

Deno.test("RankedCandidates.next() returns the best of those that answered in the window", async () => {
  const order = await orderOf([candidate("a", 0.1), candidate("b", 0.9), candidate("c", 0.5)]);
  assertEquals(order, "bca");
});

Deno.test("RankedCandidates.next() returns nodes that failed lately last", async () => {
  const candidates = [candidate("a", 0.9), candidate("b", 0.1)];
  assertEquals(await orderOf(candidates, { isAvoided: (peerId) => peerId === "a" }), "ba");
  assertEquals(await orderOf(candidates, { isAvoided: () => true }), "ab");
});

Deno.test("RankedCandidates.next() prefers a new node in a share of searches", async () => {
  const candidates = [candidate("a", 0.9), candidate("b", 0.1)];
  const isNew = (peerId: string) => peerId === "b";
  assertEquals(await orderOf(candidates, { isNew, random: () => 0.09 }), "ba");
  assertEquals(await orderOf(candidates, { isNew, random: () => 0.11 }), "ab");
});

Deno.test("RankedCandidates.next() returns undefined after the last candidate", async () => {
  using ranked = new RankedCandidates({ isAvoided: () => false, isNew: () => false });
  const waiting = ranked.next();
  ranked.end();
  assertEquals(await waiting, undefined);
});
