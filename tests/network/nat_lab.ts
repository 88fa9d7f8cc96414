/**
 * A small internet of network namespaces: one public segment, two homes behind routers.
 *
 * ```text
 *   third 11.0.0.10 ──┬── 11.0.0.1 router1 192.168.1.1 ── home1 192.168.1.2
 * stranger 11.0.0.20 ──┤
 *                      └── 11.0.0.2 router2 192.168.2.1 ── home2 192.168.2.2
 * ```
 *
 * The routers masquerade and drop what nobody inside asked for. 11.0.0.0/8 stands for public
 * addresses, since private ones are never verified.
 * @module
 */
import type { NetworkEvent } from "../../lib/network/events.ts";
import type { NodeArguments, NodeCommand } from "./nat_node.ts";

const TOOLS = ["ip", "nft", "miniupnpd"];

/** Why the lab cannot be built here; null where it can. */
export async function whyNoLab(): Promise<string | null> {
  for (const command of TOOLS) {
    const { state } = await Deno.permissions.query({ name: "run", command });
    if (state !== "granted") return `no permission to run ${command}`;
  }
  try {
    await run("ip", "netns", "list");
    await run("nft", "--version");
    const { uid } = await Deno.stat("/run");
    const probe = `plasm-probe-${crypto.randomUUID().slice(0, 8)}`;
    await run("ip", "netns", "add", probe);
    await run("ip", "netns", "del", probe);
    return uid === 0 ? null : "not root";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function run(command: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) throw new Error(`${command} ${args.join(" ")}: ${text(stderr).trim()}`);
  return text(stdout);
}

const ROUTER_RULES = `
table inet filter {
  chain input {
    type filter hook input priority 0; policy accept;
    iifname "wan" ct state new drop
  }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "lan" accept
    jump miniupnpd
  }
  chain miniupnpd { }
  chain prerouting {
    type nat hook prerouting priority -100;
    jump prerouting_miniupnpd
  }
  chain prerouting_miniupnpd { }
  chain postrouting {
    type nat hook postrouting priority 100;
    oifname "wan" masquerade
  }
  chain postrouting_miniupnpd { }
}
`;

const UPNP_CONFIG = `
ext_ifname=wan
listening_ip=lan
enable_upnp=yes
secure_mode=yes
notify_interval=5
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
uuid=7d1f9c1e-59a2-4e2c-8d34-0d2f4e2b6c11
allow 1024-65535 192.168.0.0/16 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
`;

/** A node in a namespace. */
export interface LabNode {
  peerId: string;
  events: NetworkEvent[];
  send(command: NodeCommand): Promise<void>;
  /** The first event from `after` on that is it. */
  until(isIt: (event: LabEvent) => boolean, after?: number): Promise<LabEvent>;
}

/** An event or an answer of `nat_node.ts`. */
export type LabEvent = Omit<NetworkEvent, "event"> & { event: string };

/** The namespaces and what runs in them. */
export class NatLab implements AsyncDisposable {
  #prefix = `plasm-${crypto.randomUUID().slice(0, 8)}`;
  #spaces: string[] = [];
  #children: Deno.ChildProcess[] = [];
  #running: Promise<unknown>[] = [];
  #directory = "";

  /** Builds the segment and both homes. */
  static async create(): Promise<NatLab> {
    const lab = new NatLab();
    try {
      await lab.#build();
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
    return lab;
  }

  async #build(): Promise<void> {
    this.#directory = await Deno.makeTempDir();
    await this.#addSpace("segment");
    await this.#in("segment", "ip", "link", "add", "br0", "type", "bridge");
    await this.#in("segment", "ip", "link", "set", "br0", "up");
    await this.#attach("third", { link: "wan", address: "11.0.0.10/24" });
    await this.#attach("stranger", { link: "wan", address: "11.0.0.20/24" });
    for (const home of [1, 2]) {
      const router = `router${home}`;
      await this.#attach(router, { link: "wan", address: `11.0.0.${home}/24` });
      await this.#addSpace(`home${home}`);
      const [inside, outside] = [this.#name(`home${home}`), this.#name(router)];
      await run(
        "ip",
        "-n",
        outside,
        "link",
        "add",
        "lan",
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        inside,
      );
      await run("ip", "-n", outside, "addr", "add", `192.168.${home}.1/24`, "dev", "lan");
      await run("ip", "-n", outside, "link", "set", "lan", "up");
      await run("ip", "-n", inside, "addr", "add", `192.168.${home}.2/24`, "dev", "eth0");
      await run("ip", "-n", inside, "link", "set", "eth0", "up");
      await run("ip", "-n", inside, "route", "add", "default", "via", `192.168.${home}.1`);
      await this.#in(router, "sysctl", "-qw", "net.ipv4.ip_forward=1");
      const rules = `${this.#directory}/${router}.nft`;
      await Deno.writeTextFile(rules, ROUTER_RULES);
      await this.#in(router, "nft", "-f", rules);
    }
  }

  /** Gives a namespace of the public segment another address. */
  async addAddress(space: string, address: string): Promise<void> {
    await run("ip", "-n", this.#name(space), "addr", "add", address, "dev", "wan");
  }

  /** Plugs or unplugs a namespace of the public segment. */
  async setLink(space: string, state: "up" | "down"): Promise<void> {
    await run("ip", "-n", this.#name(space), "link", "set", "wan", state);
  }

  /** Starts miniupnpd on a router. */
  async startUpnp(router: string): Promise<void> {
    const config = `${this.#directory}/miniupnpd.conf`;
    await Deno.writeTextFile(config, UPNP_CONFIG);
    const pid = `${this.#directory}/miniupnpd.pid`;
    this.#spawn(router, ["miniupnpd", "-d", "-f", config, "-P", pid]);
  }

  /** Starts a node in a namespace. */
  async startNode(space: string, options: NodeArguments): Promise<LabNode> {
    const script = new URL("nat_node.ts", import.meta.url).pathname;
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const child = this.#spawn(space, [
      Deno.execPath(),
      "run",
      "--no-prompt",
      "--unstable-net",
      "--config",
      config,
      "--allow-net",
      "--allow-read",
      "--ignore-env",
      "--allow-sys=networkInterfaces",
      script,
      JSON.stringify({ allowPrivate: false, ...options }),
    ]);
    const node = new ChildNode(child);
    this.#running.push(node.ended);
    const { peer_id } = await node.until(({ event }) => event === "up");
    node.peerId = peer_id!;
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await child.status;
    }
    await Promise.all(this.#running);
    for (const space of this.#spaces) await run("ip", "netns", "del", space);
    if (this.#directory !== "") await Deno.remove(this.#directory, { recursive: true });
  }

  #name(space: string): string {
    return `${this.#prefix}-${space}`;
  }

  async #in(space: string, ...command: string[]): Promise<void> {
    await run("ip", "netns", "exec", this.#name(space), ...command);
  }

  async #addSpace(space: string): Promise<void> {
    await run("ip", "netns", "add", this.#name(space));
    this.#spaces.push(this.#name(space));
    await run("ip", "-n", this.#name(space), "link", "set", "lo", "up");
  }

  /** A new namespace on the public segment. */
  async #attach(
    space: string,
    { link, address }: { link: string; address: string },
  ): Promise<void> {
    await this.#addSpace(space);
    const [segment, own] = [this.#name("segment"), this.#name(space)];
    await run(
      "ip",
      "-n",
      segment,
      "link",
      "add",
      `to-${space}`,
      "type",
      "veth",
      "peer",
      "name",
      link,
      "netns",
      own,
    );
    await run("ip", "-n", segment, "link", "set", `to-${space}`, "master", "br0", "up");
    await run("ip", "-n", own, "addr", "add", address, "dev", link);
    await run("ip", "-n", own, "link", "set", link, "up");
    // There is no default route here, and multicast needs one.
    await run("ip", "-n", own, "route", "add", "224.0.0.0/4", "dev", link);
  }

  #spawn(space: string, command: string[]): Deno.ChildProcess {
    const isNode = command[0] !== "miniupnpd";
    const child = new Deno.Command("ip", {
      args: ["netns", "exec", this.#name(space), ...command],
      stdin: isNode ? "piped" : "null",
      stdout: isNode ? "piped" : "null",
      stderr: isNode ? "inherit" : "null",
    }).spawn();
    this.#children.push(child);
    return child;
  }
}

/** The longest one step of the ladder may take. */
const PATIENCE_MS = 90_000;

class ChildNode implements LabNode {
  peerId = "";
  events: NetworkEvent[] = [];
  readonly ended: Promise<void>;
  #writer: WritableStreamDefaultWriter<Uint8Array>;
  #changed = Promise.withResolvers<void>();

  constructor(child: Deno.ChildProcess) {
    this.#writer = child.stdin.getWriter();
    this.ended = this.#read(child.stdout);
  }

  async send(command: NodeCommand): Promise<void> {
    await this.#writer.write(new TextEncoder().encode(`${JSON.stringify(command)}\n`));
  }

  async until(isIt: (event: LabEvent) => boolean, after = 0): Promise<LabEvent> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        const seen = this.events.map((event) => JSON.stringify(event)).join("\n");
        reject(new Error(`Waited ${PATIENCE_MS} ms for ${isIt}; seen:\n${seen}`));
      }, PATIENCE_MS);
    });
    try {
      for (;;) {
        const event = (this.events as LabEvent[]).slice(after).find(isIt);
        if (event !== undefined) return event;
        await Promise.race([this.#changed.promise, late]);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.events.push(JSON.parse(line));
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    }
    await this.#writer.close().catch(() => {});
  }
}
