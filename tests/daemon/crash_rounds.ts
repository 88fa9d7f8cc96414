/**
 * Rounds of `kill -9` against a real daemon with real jobs: each round kills the daemon (while it works
 * or while it starts), one of its executors, or a client, and holds every job to what was told of it.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import {
  connectDaemon,
  type DaemonClient,
  type JobDetailJson,
  type JobJson,
} from "../../lib/client/mod.ts";
import { PlasmError } from "../../lib/errors.ts";
import { verifyReceipt } from "../../lib/job/verify_receipt.ts";
import { spawnPlasm } from "../plasm.ts";
import { childrenOf } from "./processes.ts";
import { DaemonProcess, environment } from "./process.ts";
import { seededRandom } from "./random.ts";

/** What a round may kill; as often as it is named. */
const VICTIMS = ["daemon", "daemon", "executor", "client", "starting daemon"] as const;

/** Jobs that were over before and are looked at again in a round. */
const LOOKED_AT_AGAIN = 10;

/** Rounds between two lines of a long run. */
const TOLD_EVERY = 100;

/** The submitter of clients that may be killed before they can tell their job's id. */
const CLIENT = "crash-client";

/** Longest time into a start or a client's life at which it is killed, in milliseconds. */
const LIFE_MS = 500;

interface Accepted {
  idempotent: boolean;
  /** An executor was killed in the round of this job, or while it was not over. */
  hurt: boolean;
  /** How it was told once it was over, with its receipt and output. */
  told?: { job: JobJson; signature: string | undefined; stdout: number };
  /** Who answered it, when, if it was run in one request: until it must be stored it may be forgotten. */
  answered?: { by: DaemonProcess; at: number };
}

/** A run in one request is in the store this long after its answer, in milliseconds: many times 20. */
const STORED_MS = 1000;

/** What {@linkcode CrashRounds.run} did and found. */
export interface CrashReport {
  kills: Record<(typeof VICTIMS)[number], number>;
  /** Sums of what the daemons told as they started. */
  recovered: { queued: number; rerun: number; interrupted: number };
  jobs: number;
  /** Runs in one request, answered just before a kill, of which nothing was stored. */
  forgotten: number;
  ends: Record<string, number>;
}

/** Options of {@linkcode CrashRounds}. */
export interface CrashRoundsOptions {
  /** Holds the state. */
  dir: string;
  /** Of all that is random. */
  seed: number;
  /** What the jobs run: it writes 200 bytes. */
  module: Uint8Array;
}

function kill(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch { /* it has ended */ }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A state directory, the daemon on it, and what was told of its jobs. */
export class CrashRounds implements AsyncDisposable {
  readonly #options: CrashRoundsOptions;
  readonly #random: (n: number) => number;
  readonly #jobs = new Map<string, Accepted>();
  readonly #report: CrashReport = {
    kills: { daemon: 0, "starting daemon": 0, executor: 0, client: 0 },
    recovered: { queued: 0, rerun: 0, interrupted: 0 },
    jobs: 0,
    forgotten: 0,
    ends: {},
  };
  #daemon: DaemonProcess | undefined;

  constructor(options: CrashRoundsOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
  }

  /** Kills so many times, then lets all jobs end, and checks every one. */
  async run(rounds: number): Promise<CrashReport> {
    await Deno.writeFile(`${this.#options.dir}/work.wasm`, this.#options.module);
    for (let round = 0; round < rounds; round++) {
      const victim = VICTIMS[this.#random(VICTIMS.length)]!;
      await this.#round(victim);
      this.#report.kills[victim]++;
      if (round % TOLD_EVERY === TOLD_EVERY - 1) console.log(JSON.stringify(this.#report));
    }
    using client = await this.#client();
    for (const [id, { told }] of this.#jobs) {
      if (told === undefined) { for await (const _ of client.events(id)); }
    }
    await this.#look(client, [...this.#jobs]);
    // Those of clients, whether or not they could tell.
    const page = await client.jobs({ submitter: CLIENT, limit: 1000 });
    for (const { id } of page.jobs) for await (const _ of client.events(id));
    for (const accepted of this.#jobs.values()) this.#count(accepted);
    this.#report.jobs = this.#jobs.size;
    return this.#report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon?.[Symbol.asyncDispose]();
  }

  /** A client of the daemon, which is started if it does not run. */
  async #client(): Promise<DaemonClient> {
    if (this.#daemon === undefined) {
      this.#daemon = await DaemonProcess.start({ dir: this.#options.dir });
      const { recovered } = this.#report;
      const started = await this.#daemon.untilEvent("daemon-started");
      for (const key of Object.keys(recovered) as (keyof typeof recovered)[]) {
        recovered[key] += Number(started[key]);
      }
    }
    return connectDaemon({ socket: this.#daemon.socket });
  }

  async #round(victim: (typeof VICTIMS)[number]): Promise<void> {
    if (victim === "starting daemon") return await this.#killStarting();
    using client = await this.#client();
    const daemon = this.#daemon!;
    await this.#lookAgain(client);
    // The kill falls among requests that are under way: it comes after one of their answers.
    const count = 3 + this.#random(6);
    const killAfter = 1 + this.#random(count + 2);
    const killing = Promise.withResolvers<void>();
    let answers = 0;
    const answered = (): void => {
      if (++answers === killAfter) killing.resolve(this.#kill(victim));
    };
    const requests = Array.from({ length: count }, async () => {
      const idempotent = this.#random(2) === 0;
      const watched = this.#random(3) === 0;
      if (this.#random(5) === 0) return await this.#runInOne(client, idempotent, answered);
      const { id } = await client.submit(this.#options.module, { manifest: { idempotent } });
      // One that was killed while it waited for a job may yet be given one.
      this.#jobs.set(id, { idempotent, hurt: victim === "executor" });
      answered();
      if (!watched) return;
      for await (const { type } of client.events(id, { patienceMs: 0 })) {
        if (type === "stdout" || type === "finished") answered();
      }
    });
    await Promise.allSettled(requests);
    if (answers < killAfter) killing.resolve(this.#kill(victim));
    await killing.promise;
    if (victim !== "daemon") return;
    await daemon.ended();
    this.#daemon = undefined;
  }

  /** Runs a job in one request: what was told at its end has to stay so. */
  async #runInOne(
    client: DaemonClient,
    idempotent: boolean,
    answered: () => void,
  ): Promise<void> {
    const by = this.#daemon!;
    const { job, stdout, receipt } = await client.run(this.#options.module, {
      manifest: { idempotent },
    });
    const told = { job, signature: receipt.signature, stdout: stdout.length };
    // An executor may have been killed under it; how it ended is told already.
    const at = performance.now();
    this.#jobs.set(job.id, { idempotent, hurt: true, told, answered: { by, at } });
    answered();
  }

  async #kill(victim: "daemon" | "executor" | "client"): Promise<void> {
    const daemon = this.#daemon!;
    if (victim === "daemon") return this.#killDaemon(daemon);
    if (victim === "client") return await this.#killClient();
    const executors = await childrenOf(daemon.pid);
    const executor = executors[this.#random(Math.max(1, executors.length))];
    for (const accepted of this.#jobs.values()) accepted.hurt ||= accepted.told === undefined;
    if (executor !== undefined) kill(executor);
  }

  #killDaemon(daemon: DaemonProcess): void {
    daemon.signal("SIGKILL");
    const now = performance.now();
    for (const accepted of this.#jobs.values()) {
      const { by, at } = accepted.answered ?? {};
      // What an earlier daemon answered just before its end stays uncertain.
      if (by === daemon && now - at! > STORED_MS) delete accepted.answered;
    }
  }

  /** Kills a client; a job whose id it has told by then was accepted. */
  async #killClient(): Promise<void> {
    const wait = this.#random(2) === 0;
    const { dir } = this.#options;
    const args = ["submit", "--submitter", CLIENT, "--json", ...wait ? ["--wait"] : []];
    const child = spawnPlasm([...args, `${dir}/work.wasm`], { env: environment(dir) });
    // Without its end the client would wait for its input.
    await child.stdin.close();
    const timer = setTimeout(() => kill(child.pid), this.#random(LIFE_MS));
    const { stdout, success } = await child.output();
    clearTimeout(timer);
    const told = new TextDecoder().decode(stdout);
    // With --wait it tells a result, of which its own test speaks.
    if (success && !wait) {
      this.#jobs.set(JSON.parse(told).id, { idempotent: false, hurt: false });
    }
  }

  async #killStarting(): Promise<void> {
    const { dir } = this.#options;
    if (this.#daemon !== undefined) {
      this.#killDaemon(this.#daemon);
      await this.#daemon.ended();
      this.#daemon = undefined;
    }
    const starting = await DaemonProcess.spawn({ dir });
    await pause(this.#random(LIFE_MS));
    starting.signal("SIGKILL");
    await starting.ended();
  }

  /** Looks at the jobs that were not over, and at some that were. */
  async #lookAgain(client: DaemonClient): Promise<void> {
    const open = [...this.#jobs].filter(([, { told }]) => told === undefined);
    const over = [...this.#jobs].filter(([, { told }]) => told !== undefined);
    const again = Array.from(
      { length: Math.min(LOOKED_AT_AGAIN, over.length) },
      () => over[this.#random(over.length)]!,
    );
    await this.#look(client, [...open, ...again]);
  }

  /** Remembers how jobs ended, and holds those that were told before to what was told. */
  async #look(client: DaemonClient, jobs: [string, Accepted][]): Promise<void> {
    for (const [id, accepted] of jobs) {
      const found = await this.#find(client, id, accepted);
      if (found === undefined) continue;
      const { manifest: _manifest, ...job } = found;
      if (job.finished_at === null) {
        assertEquals(accepted.told, undefined, `${id} was over and is ${job.state}`);
        continue;
      }
      const receipt = job.state === "finished" ? await client.receipt(id) : undefined;
      const stdout = await new Response(await client.output(id, "stdout")).bytes();
      if (receipt !== undefined) await verifyReceipt(receipt, { nonce: job.nonce, stdout });
      const told = { job, signature: receipt?.signature, stdout: stdout.length };
      if (accepted.told !== undefined) assertEquals(told, accepted.told);
      accepted.told = told;
    }
  }

  /** A job; undefined where a kill came between the answer that told all of it and its commit. */
  async #find(
    client: DaemonClient,
    id: string,
    { answered }: Accepted,
  ): Promise<JobDetailJson | undefined> {
    try {
      return await client.job(id);
    } catch (error) {
      const isMissing = error instanceof PlasmError && error.code === "not-found";
      if (!isMissing || answered === undefined) throw error;
      this.#jobs.delete(id);
      this.#report.forgotten++;
      return undefined;
    }
  }

  #count({ idempotent, hurt, told }: Accepted): void {
    assert(told !== undefined);
    const { state, status, attempts, error } = told.job;
    if (state === "finished" && status === "exited") assertEquals(told.stdout, 200);
    else if (state === "interrupted") {
      assertEquals(error?.code, "interrupted");
      assert(!idempotent || attempts === 3, `${attempts} attempts`);
    } else {
      // To the node a killed executor is one whose job ran out of memory; one that dies before it
      // has begun is a fault of its own.
      assert(hurt, `${state} ${status} ${error?.code}, but no executor was killed`);
      assert(status === "memory" || error?.code === "executor", `${state} ${status}`);
    }
    const end = status ?? error?.code ?? state;
    this.#report.ends[end] = (this.#report.ends[end] ?? 0) + 1;
  }
}
