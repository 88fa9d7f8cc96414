/**
 * Two hosts (network namespaces) with one link between them, which loses packets, delays them where the kernel
 * can (netem), and can be cut.
 * @module
 */
import config from "../../deno.json" with { type: "json" };

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);

/** Share of packets lost each way, in percent. */
const LOSS = 2;
/** One way, so that a round trip takes twice as long; milliseconds. */
const DELAY_MS = 25;

const LOSS_RULES = `
table inet lossy {
  chain input {
    type filter hook input priority 0; policy accept;
    iifname "eth0" numgen random mod 100 < ${LOSS} drop
  }
}
`;

async function run(command: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args }).output();
  if (!success) {
    throw new Error(`${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  }
}

/** Why the lab cannot be built here; null where it can. */
export async function whyNoLink(): Promise<string | null> {
  const probe = `plasm-probe-${crypto.randomUUID().slice(0, 8)}`;
  try {
    await run("nft", "--version");
    await run("ip", "netns", "add", probe);
    await run("ip", "netns", "del", probe);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message.trim() : String(error);
  }
}

/** Two hosts and what runs on them. */
export class LinkLab implements AsyncDisposable {
  readonly #prefix = `plasm-${crypto.randomUUID().slice(0, 8)}`;
  readonly #children: Deno.ChildProcess[] = [];
  readonly #logs: Promise<void>[] = [];
  readonly #dir: string;
  /** Whether packets are late as well as lost. */
  isDelayed = false;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /** Makes the hosts `near` (10.9.0.1) and `far` (10.9.0.2). */
  static async create(): Promise<LinkLab> {
    const lab = new LinkLab(await Deno.makeTempDir({ prefix: "pl" }));
    try {
      await lab.#build();
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A directory for both hosts' files. */
  get dir(): string {
    return this.#dir;
  }

  #space(host: string): string {
    return `${this.#prefix}-${host}`;
  }

  async #build(): Promise<void> {
    const [near, far] = [this.#space("near"), this.#space("far")];
    for (const space of [near, far]) await run("ip", "netns", "add", space);
    const veth = ["link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", far];
    await run("ip", "-n", near, ...veth);
    const rules = `${this.#dir}/loss.nft`;
    await Deno.writeTextFile(rules, LOSS_RULES);
    for (const [space, address] of [[near, "10.9.0.1/24"], [far, "10.9.0.2/24"]] as const) {
      await run("ip", "-n", space, "addr", "add", address, "dev", "eth0");
      for (const link of ["lo", "eth0"]) await run("ip", "-n", space, "link", "set", link, "up");
      await run("ip", "netns", "exec", space, "nft", "-f", rules);
      try {
        const netem = ["qdisc", "add", "dev", "eth0", "root", "netem", "delay", `${DELAY_MS}ms`];
        await run("tc", "-n", space, ...netem);
        this.isDelayed = true;
      } catch {
        // This kernel has no netem: the link only loses packets.
      }
    }
  }

  /** Plugs or unplugs the link. */
  async setLink(state: "up" | "down"): Promise<void> {
    await run("ip", "-n", this.#space("near"), "link", "set", "eth0", state);
  }

  /** Starts the program on a host, with the permissions of its task. */
  spawn(host: "near" | "far", args: string[]): Deno.ChildProcess {
    const [, ...flags] = config.tasks.plasm.command.split(" ");
    const program = [Deno.execPath(), ...flags.slice(0, -1), "--config", `${ROOT}deno.json`];
    const child = new Deno.Command("ip", {
      args: ["netns", "exec", this.#space(host), ...program, `${ROOT}main.ts`, ...args],
      env: { PLASM_STATE_DIR: `${this.#dir}/${host}`, NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#children.push(child);
    return child;
  }

  /** Starts a node on the far host that listens at one address; returns the address to dial. */
  async startNode(listen: string): Promise<string> {
    const child = this.spawn("far", [
      "daemon",
      ...["--socket", `${this.#dir}/socket`, "--log-format", "json"],
      ...["--set", "network.enabled=true", "--set", `network.listen=${listen}`],
    ]);
    const ready = Promise.withResolvers<string>();
    this.#logs.push((async () => {
      let text = "";
      for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) {
        text += part;
        const address = /\/ip4\/10\.9\.0\.2\/[^\s"]*\/p2p\/\w+/.exec(text)?.[0];
        if (text.includes("daemon-started") && address !== undefined) ready.resolve(address);
      }
      ready.reject(new Error(`The node ended:\n${text}`));
    })());
    this.#logs.push(child.stdout.pipeTo(new WritableStream()));
    return await ready.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      try {
        child.kill("SIGTERM");
      } catch {
        // It has ended.
      }
      await child.status;
    }
    await Promise.allSettled(this.#logs);
    for (const host of ["near", "far"]) {
      await run("ip", "netns", "del", this.#space(host)).catch(() => {}); // half-built
    }
    await Deno.remove(this.#dir, { recursive: true });
  }
}
