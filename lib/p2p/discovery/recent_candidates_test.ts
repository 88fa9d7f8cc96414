import { assertEquals } from "@std/assert";
import { FIELDS } from "../../../tests/fixtures/p2p/identities.ts";
import { Reputation } from "../state/peer_state.ts";
import type { Candidate } from "./candidate.ts";
import { RecentCandidates } from "./recent_candidates.ts";

function candidate(
  peerId: string,
  { expires = 1e9, memory = 512, latencyMs = 10 } = {},
): Candidate {
  const capability = {
    ...FIELDS,
    limits: { ...FIELDS.limits, memory_mb: memory },
    expires_at: new Date(expires).toISOString(),
  } as Candidate["capability"];
  return { peerId, capability, latencyMs, score: 0, transport: "tcp", path: "direct" };
}

function ids(found: readonly Candidate[]): string[] {
  return found.map(({ peerId }) => peerId);
}

Deno.test("RecentCandidates.list() returns matching candidates of the given age, the best first", () => {
  let now = 0;
  const reputation = new Reputation();
  const recent = new RecentCandidates(reputation, () => now);
  recent.add(candidate("old"));
  now = 100;
  recent.add(candidate("small", { memory: 16 }));
  recent.add(candidate("far", { latencyMs: 90 }));
  recent.add(candidate("expired", { expires: 50 }));
  recent.add(candidate("near"));
  recent.add(candidate("failed"));
  recent.add(candidate("avoided"));
  recent.delete("failed");
  reputation.recordJob("avoided", { ok: false });
  const criteria = { minMemoryMb: 128 };
  assertEquals(ids(recent.list(criteria, { maxAgeMs: 99, limit: 1 })), ["near"]);
  now = 199;
  assertEquals(ids(recent.list(criteria, { maxAgeMs: 99 })), ["far", "near"], "near was used");
  now = 200;
  assertEquals(ids(recent.list(criteria, { maxAgeMs: 99 })), []);
});

Deno.test("RecentCandidates.list() makes jobs take turns until a node sends a new document", () => {
  const recent = new RecentCandidates(new Reputation(), () => 0);
  for (const id of ["a", "b", "c"]) recent.add(candidate(id));
  const first = () => recent.list({}, { maxAgeMs: 1 })[0]!.peerId;
  assertEquals(new Set([first(), first(), first()]), new Set(["a", "b", "c"]));
  recent.add(candidate("b"));
  assertEquals(first(), "b");
});
