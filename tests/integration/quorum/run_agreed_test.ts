import { assertEquals, assertRejects } from "@std/assert";
import { createEnvelope, PlasmError, verifyEnvelope } from "../../../lib/core/verifier.ts";
import { runAgreed, verifyEvidence } from "../../../lib/quorum/run_agreed.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";
import { NetworkNodes } from "../../fixtures/remote/network_nodes.ts";
import { lie } from "../../fixtures/remote/quorum_nodes.ts";
import { HELLO } from "../../fixtures/remote/real_node.ts";

const JOB = {
  stdin: new TextEncoder().encode("Hello, World"),
  profile: "deterministic",
  resources: { memory_mb: 64, timeout_seconds: 30, cpu_seconds: 30 },
} as const;

Deno.test(
  "runAgreed() returns the result and the receipts of K nodes, and evidence against others",
  LIBP2P,
  async () => {
    await using nodes = await NetworkNodes.start(undefined, undefined, lie("false"));
    const { bootstrap } = nodes;
    const [liar] = nodes.nodes.slice(-1);
    const result = await runAgreed(HELLO, { ...JOB, agree: 2, nodes: 3, bootstrap });
    assertEquals(new TextDecoder().decode(result.stdout), "dlroW ,olleH");
    const { signers } = await verifyEnvelope(await createEnvelope(result.receipts));
    assertEquals(signers.length, 2);

    const error = await assertRejects(
      () => runAgreed(HELLO, { ...JOB, agree: 3, bootstrap }),
      PlasmError,
    );
    assertEquals(error.code, "bad-receipt");
    const { contradictions } = await verifyEvidence(error.details["evidence"]);
    const signed = contradictions.flatMap(({ first, second }) => [first, second]);
    assertEquals(signed.some(({ run }) => run.node.peer_id === liar!.node.peerId), true);
  },
);

Deno.test(
  "runAgreed() says how many nodes were found and why others were not used",
  LIBP2P,
  async () => {
    await using nodes = await NetworkNodes.start();
    await nodes.add(undefined, 1);
    await nodes.add(undefined, 1);
    const { bootstrap } = nodes;
    const error = await assertRejects(
      () => runAgreed(HELLO, { ...JOB, agree: 2, bootstrap }),
      PlasmError,
    );
    assertEquals(error.code, "no-peer");
    assertEquals(
      /found 2, 1 returned a result: 1 not used because it is in the network 127\.0\.1\.0\/24 of/
        .test(error.message),
      true,
      error.message,
    );
    const { receipts } = await runAgreed(HELLO, { ...JOB, agree: 2, bootstrap, sameNetwork: true });
    assertEquals(receipts.length, 2);
  },
);
