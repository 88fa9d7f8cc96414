/**
 * Two hosts (network namespaces) with one link between them, which delays packets, loses some, and can be cut:
 * a pair of interfaces with netem where the kernel has it, else two TAP devices with an emulator between.
 * @module
 */
import config from "../../deno.json" with { type: "json" };

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);

/** One way, so that a round trip takes twice as long; milliseconds. */
const DELAY_MS = 50;
/** Share of packets lost each way, in percent. */
const LOSS = 2;

/** What delays and loses. */
export type LinkKind = "netem" | "emulator";

async function run(command: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args }).output();
  if (!success) {
    throw new Error(`${command} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  }
}

/** Puts delay and loss on what an interface sends. */
async function addNetem(space: string, link: string): Promise<void> {
  const rules = ["delay", `${DELAY_MS}ms`, "loss", `${LOSS}%`];
  await run("tc", "-n", space, "qdisc", "add", "dev", link, "root", "netem", ...rules);
}

/** What links can be made of here; an error's text where it is nothing. */
export async function findLinkKind(): Promise<{ kind: LinkKind } | { missing: string }> {
  const probe = `plasm-probe-${crypto.randomUUID().slice(0, 8)}`;
  try {
    await run("ip", "netns", "add", probe);
    try {
      await run("ip", "-n", probe, "link", "set", "lo", "up");
      await addNetem(probe, "lo");
      return { kind: "netem" };
    } catch {
      await run("python3", "-c", "open('/dev/net/tun', 'r+b', 0).close()");
      return { kind: "emulator" };
    } finally {
      await run("ip", "netns", "del", probe);
    }
  } catch (error) {
    return { missing: error instanceof Error ? error.message.trim() : String(error) };
  }
}

/** Two hosts and what runs on them. */
export class LinkLab implements AsyncDisposable {
  readonly #id = crypto.randomUUID().slice(0, 8);
  readonly #children: Deno.ChildProcess[] = [];
  readonly #logs: Promise<void>[] = [];
  readonly #dir: string;
  private constructor(dir: string) {
    this.#dir = dir;
  }

  /** Makes the hosts `near` (10.9.0.1) and `far` (10.9.0.2). */
  static async create(kind: LinkKind): Promise<LinkLab> {
    const lab = new LinkLab(await Deno.makeTempDir({ prefix: "pl" }));
    try {
      await lab.#build(kind);
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
    return `plasm-${this.#id}-${host}`;
  }

  async #build(kind: LinkKind): Promise<void> {
    const [near, far] = [this.#space("near"), this.#space("far")];
    for (const space of [near, far]) await run("ip", "netns", "add", space);
    if (kind === "emulator") await this.#joinByEmulator(near, far);
    else {
      const veth = ["link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", far];
      await run("ip", "-n", near, ...veth);
    }
    for (const [space, address] of [[near, "10.9.0.1/24"], [far, "10.9.0.2/24"]] as const) {
      if (kind === "netem") await addNetem(space, "eth0");
      await run("ip", "-n", space, "addr", "add", address, "dev", "eth0");
      for (const link of ["lo", "eth0"]) await run("ip", "-n", space, "link", "set", link, "up");
    }
  }

  /** The emulator opens both devices, which then move to their hosts: it keeps hold of them. */
  async #joinByEmulator(near: string, far: string): Promise<void> {
    const taps = [`pl${this.#id}0`, `pl${this.#id}1`] as const;
    const script = `${ROOT}tests/protocol/link_emulator.py`;
    const child = new Deno.Command("python3", {
      args: [script, ...taps, `${DELAY_MS}`, `${LOSS}`, "1"],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#children.push(child);
    const reader = child.stdout.getReader();
    const { done } = await reader.read();
    await reader.cancel();
    if (done) throw new Error("The link's emulator ended");
    for (const [tap, space] of [[taps[0], near], [taps[1], far]] as const) {
      await run("ip", "link", "set", tap, "netns", space, "name", "eth0");
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
