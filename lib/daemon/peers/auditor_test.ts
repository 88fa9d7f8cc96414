import { assert, assertEquals } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { compareRuns, ephemeralIdentity, type Identity, type Receipt } from "../../core/mod.ts";
import { AuditLedger, parseEvidence, verifyEvidence } from "../../quorum/mod.ts";
import { OTHER_HASH, receiptOf, type ReceiptOptions } from "../../../tests/fixtures/claims.ts";
import { tempDir } from "../../../tests/fixtures/temp_dir.ts";
import { Auditor, type AuditorOptions } from "./auditor.ts";

/** Auditor whose new runs are answered by the test. */
class AuditLab implements AsyncDisposable {
  readonly ledger = new AuditLedger();
  readonly receipts = new Map<string, Receipt>();
  readonly outcomes: boolean[] = [];
  /** Ids of the jobs that were run again. */
  readonly reruns: string[] = [];
  isIdle = true;
  again: () => Promise<Receipt>;
  random = 0;
  readonly auditor: Auditor;
  readonly node: Identity;
  readonly own: Identity;
  readonly #dir: Awaited<ReturnType<typeof tempDir>>;

  constructor(
    { node, own, dir }: { node: Identity; own: Identity; dir: Awaited<ReturnType<typeof tempDir>> },
    options: Partial<AuditorOptions> = {},
  ) {
    this.node = node;
    this.own = own;
    this.#dir = dir;
    this.again = () => receiptOf({ by: own });
    this.auditor = new Auditor({
      ledger: this.ledger,
      config: () => ({ audit: 2, audit_cpu_seconds: 60 }),
      stateDir: dir.path,
      isIdle: () => this.isIdle,
      exists: (jobId) => this.receipts.has(jobId),
      read: (jobId) => {
        if (!this.receipts.has(jobId)) return Promise.resolve(undefined);
        this.reruns.push(jobId);
        const content = { module: new Uint8Array(), inputs: {} };
        return Promise.resolve({ manifest: {} as never, ...content });
      },
      rerun: async ({ receipt }) => {
        const again = await this.again();
        const verdict = compareRuns(receipt.claim, again.claim);
        return { ...verdict, byte: undefined, receipt: again };
      },
      recordOutcome: (_peerId, { ok }) => this.outcomes.push(ok),
      log: getLogger("test"),
      random: () => this.random,
      pollMs: 0,
      ...options,
    });
  }

  static async create(options: Partial<AuditorOptions> = {}): Promise<AuditLab> {
    const [node, own] = [await ephemeralIdentity(), await ephemeralIdentity()];
    return new AuditLab({ node, own, dir: await tempDir() }, options);
  }

  /** Finishes a job on the node. */
  async job(id: string, options: Partial<ReceiptOptions> = {}): Promise<void> {
    const receipt = await receiptOf({ by: this.node, ...options });
    this.receipts.set(id, receipt);
    this.auditor.consider(id, [receipt], new Uint8Array());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.auditor[Symbol.asyncDispose]();
    await this.#dir[Symbol.asyncDispose]();
  }
}

Deno.test("Auditor counts a reproduced result and audits the node less often", async () => {
  await using lab = await AuditLab.create();
  for (const id of ["a", "b"]) {
    await lab.job(id);
    await lab.auditor.settled();
  }
  assertEquals(lab.auditor.counts.reproduced, 2);
  assertEquals(lab.ledger.get(lab.node.peerId).good, 2);
  lab.random = 0.5;
  await lab.job("c");
  await lab.auditor.settled();
  assertEquals(lab.reruns, ["a", "b"]);
});

Deno.test("Auditor bans a node for a false result and stores the evidence", async () => {
  await using lab = await AuditLab.create();
  await lab.job("a", { stdout: OTHER_HASH });
  await lab.auditor.settled();
  assert(lab.ledger.isBanned(lab.node.peerId));
  assertEquals(lab.outcomes, [false]);
  const status = lab.auditor.status();
  const [found] = status["false_results"] as { peer_id: string; evidence: string; field: string }[];
  assertEquals({ peer: found!.peer_id, field: found!.field }, {
    peer: lab.node.peerId,
    field: "stdout.hash",
  });
  const { receipts } = await verifyEvidence(parseEvidence(await Deno.readFile(found!.evidence)));
  assertEquals(receipts.map(({ run }) => run.node.peer_id), [lab.node.peerId, lab.own.peerId]);
  assertEquals((status["banned"] as { peer_id: string }[])[0]!.peer_id, lab.node.peerId);
});

Deno.test("Auditor bans all nodes of a quorum whose result was false", async () => {
  await using lab = await AuditLab.create();
  const accomplice = await ephemeralIdentity();
  const lies = [
    await receiptOf({ by: lab.node, stdout: OTHER_HASH }),
    await receiptOf({ by: accomplice, stdout: OTHER_HASH }),
  ] as const;
  lab.receipts.set("a", lies[0]);
  lab.auditor.consider("a", [...lies], new Uint8Array());
  await lab.auditor.settled();
  assert(lab.ledger.isBanned(lab.node.peerId) && lab.ledger.isBanned(accomplice.peerId));
  assertEquals(lab.auditor.counts.false, 1);
});

Deno.test("Auditor audits deterministic results only, and none that depend on the node", async () => {
  await using lab = await AuditLab.create();
  await lab.job("default", { claim: { profile: "default" } });
  for (const status of ["timeout", "memory", "cancelled"] as const) {
    await lab.job(status, { claim: { status, exit_code: null } });
  }
  await lab.auditor.settled();
  assertEquals(lab.reruns, []);
});

Deno.test("Auditor records no failure if its own run exceeds a limit", async () => {
  await using lab = await AuditLab.create();
  const timeout = { status: "timeout", exit_code: null } as const;
  lab.again = () => receiptOf({ by: lab.own, claim: timeout });
  await lab.job("a", { stdout: OTHER_HASH });
  await lab.auditor.settled();
  assertEquals(lab.auditor.counts.undecided, 1);
  assert(!lab.ledger.isBanned(lab.node.peerId));
});

Deno.test("Auditor runs nothing while a job needs the machine, and stops when one arrives", async () => {
  const started = Promise.withResolvers<AbortSignal>();
  const idle = Promise.withResolvers<void>();
  let runs = 0;
  await using lab = await AuditLab.create({
    rerun: async ({ receipt }, { signal }) => {
      runs++;
      if (runs === 1) {
        started.resolve(signal);
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      }
      return { ...compareRuns(receipt.claim, receipt.claim), byte: undefined, receipt };
    },
  });
  lab.isIdle = false;
  await lab.job("a");
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(runs, 0);
  lab.isIdle = true;
  await started.promise;
  lab.auditor.interrupt();
  idle.resolve();
  await lab.auditor.settled();
  assertEquals(runs, 2);
  assertEquals(lab.auditor.counts.reproduced, 1);
});

Deno.test("Auditor drops a job that was deleted", async () => {
  await using lab = await AuditLab.create();
  lab.isIdle = false;
  await lab.job("a");
  lab.receipts.delete("a");
  lab.isIdle = true;
  await lab.auditor.settled();
  assertEquals({ reruns: lab.reruns, dropped: lab.auditor.counts.dropped }, {
    reruns: [],
    dropped: 1,
  });
});

Deno.test("Auditor runs nothing once its CPU budget is used up", async () => {
  await using lab = await AuditLab.create({ config: () => ({ audit: 100, audit_cpu_seconds: 1 }) });
  lab.again = async () => {
    const receipt = await receiptOf({ by: lab.own });
    receipt.run.usage.cpu_time_ms = 1_000;
    return receipt;
  };
  await lab.job("a");
  await lab.auditor.settled();
  await lab.job("b");
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(lab.reruns, ["a"]);
  assertEquals(lab.auditor.status()["waiting"], 1);
  assertEquals(lab.auditor.cpuSeconds, 1);
});
