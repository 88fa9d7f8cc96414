import { assert, assertEquals } from "@std/assert";
import { type Scenario, simulate } from "./quorum_simulation.ts";

const BASE: Scenario = {
  jobs: 1000,
  nodes: 50,
  liars: 0.2,
  colluding: false,
  lieRate: 1,
  check: "none",
  seed: 7,
};
const QUORUM = { agree: 2, nodes: 3 };

Deno.test("simulate() accepts the liars' share of wrong results when nothing is checked", () => {
  const { wrong, extra, found } = simulate(BASE);
  assert(wrong > 150 && wrong < 250, `${wrong}`);
  assertEquals({ extra, found }, { extra: 0, found: 0 });
});

Deno.test("simulate() finds every liar by audits, and accuses no honest node", () => {
  const { wrong, found, jobsToBan, accused } = simulate({ ...BASE, check: "audit" });
  assert(wrong < 100, `${wrong}`);
  assertEquals({ found, jobsToBan, accused }, { found: 1, jobsToBan: 1, accused: 0 });
});

Deno.test("simulate() accepts no wrong result of independent liars in a quorum", () => {
  const { wrong, extra } = simulate({ ...BASE, check: QUORUM });
  assertEquals(wrong, 0);
  assert(extra >= 2 && extra < 2.1, `${extra}`);
});

Deno.test("simulate() accepts wrong results of colluding liars, and the same ones for one seed", () => {
  const scenario: Scenario = { ...BASE, colluding: true, check: QUORUM };
  const result = simulate(scenario);
  assert(result.wrong > 0);
  assertEquals(simulate(scenario), result);
});
