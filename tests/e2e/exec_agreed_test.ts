import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { LIBP2P } from "../fixtures/p2p/nodes.ts";
import { plasm } from "../fixtures/plasm.ts";
import { lie } from "../fixtures/remote/quorum_nodes.ts";
import { NetworkNodes } from "../fixtures/remote/network_nodes.ts";
import { HELLO } from "../fixtures/remote/real_node.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

/** Limits that the small nodes allow. */
const LIMITS = ["--memory-mb", "64", "--timeout", "30", "--cpu-seconds", "30"];

Deno.test(
  "plasm exec --agree prints what K nodes agree on, and evidence against the others",
  LIBP2P,
  async () => {
    await using dir = await tempDir("pl");
    await using nodes = await NetworkNodes.start(undefined, undefined, lie("false"));
    const env = { PLASM_STATE_DIR: `${dir.path}/client`, HOME: dir.path };
    const deno = { DENO_DIR: Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno` };
    const module = `${dir.path}/hello.wasm`;
    await Deno.writeFile(module, HELLO);
    const run = (...args: string[]) =>
      plasm(["exec", "--remote", "--bootstrap", nodes.bootstrap[0]!, ...LIMITS, ...args, module], {
        stdin: "Hello, World",
        env: { ...env, ...deno },
      });
    const call = (...args: string[]) => plasm(args, { env: { ...env, ...deno } });
    const [envelope, evidence] = [`${dir.path}/envelope.json`, `${dir.path}/evidence.json`];

    const plain = await run("--agree", "2/3", "--receipt", envelope);
    assertEquals(
      { code: plain.code, stdout: plain.stdout },
      { code: 0, stdout: "dlroW ,olleH" },
      plain.stderr,
    );
    assertStringIncludes(plain.stderr, "Honest nodes may differ in clock, random");
    const imported = JSON.parse((await call("receipt", "import", "--json", envelope)).stdout);
    assertEquals(imported.signers.length, 2);

    const json = await run("--agree", "2", "--deterministic", "--json", "--evidence", evidence);
    assertEquals(json.code, 0, json.stderr);
    const document = JSON.parse(json.stdout);
    assertEquals({ stdout: document.stdout, verified: document.verified }, {
      stdout: "dlroW ,olleH",
      verified: true,
    });
    assertEquals(document.receipts.length, 2);
    assert(
      document.quorum.nodes.every(({ receipt }: { receipt?: unknown }) => receipt !== undefined),
    );

    const failed = await run(
      ...["--agree", "3", "--deterministic", "--json", "--evidence", evidence],
    );
    assertEquals(failed.code, 76, failed.stderr);
    const { error } = JSON.parse(failed.stderr);
    assertEquals({ code: error.code, evidence: error.details.evidence }, {
      code: "bad-receipt",
      evidence,
    });
    assertEquals(error.details.nodes.length, 3);

    const shown = await call("verify", evidence);
    assertEquals(shown.code, 0, shown.stderr);
    assertStringIncludes(shown.stdout, "evidence verified");
    assertStringIncludes(shown.stdout, "contradiction");
    const liar = nodes.nodes[2]!.node.peerId;
    await Deno.writeTextFile(`${dir.path}/stdin`, "Hello, World");
    const job = ["--module", module, "--stdin", `${dir.path}/stdin`, "--deterministic", ...LIMITS];
    const judged = await call("verify", evidence, "--arbitrate", "--json", ...job);
    assertEquals(judged.code, 0, judged.stderr);
    assertEquals(JSON.parse(judged.stdout).arbitration.false, [liar]);

    const [a, b] = [`${dir.path}/a.json`, `${dir.path}/b.json`];
    const [first, , last] = error.details.nodes;
    await Deno.writeTextFile(a, JSON.stringify(first.receipt));
    await Deno.writeTextFile(b, JSON.stringify(last.receipt));
    const exported = await call("receipt", "evidence", a, b);
    const isContradiction = first.peer_id === liar || last.peer_id === liar;
    assertEquals(exported.code, isContradiction ? 0 : 76, exported.stderr);

    const arbitrated = await run("--agree", "3", "--deterministic", "--arbitrate");
    assertEquals({ code: arbitrated.code, stdout: arbitrated.stdout }, {
      code: 0,
      stdout: "dlroW ,olleH",
    }, arbitrated.stderr);
    assertStringIncludes(arbitrated.stderr, `False receipt of ${liar}`);

    const named = `${nodes.nodes[0]!.node.addresses()[0]}`;
    const elsewhere = await run(
      ...["--agree", "3", "--deterministic", "--arbitrate", "--peer", named, "--json"],
    );
    assertEquals(elsewhere.code, 0, elsewhere.stderr);
    assertEquals(JSON.parse(elsewhere.stdout).arbitration.false, [liar]);

    const judge = await nodes.add();
    const address = `${judge.node.addresses()[0]}`;
    const remotely = await call(
      ...["verify", evidence, "--arbitrate", "--json", ...job],
      ...["--remote", "--peer", address, "--bootstrap", nodes.bootstrap[0]!],
    );
    assertEquals(remotely.code, 0, remotely.stderr);
    const { arbitration } = JSON.parse(remotely.stdout);
    assertEquals({ by: arbitration.receipt.run.node.peer_id, false: arbitration.false }, {
      by: judge.node.peerId,
      false: [liar],
    });
  },
);
