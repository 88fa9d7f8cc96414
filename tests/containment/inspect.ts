/**
 * What the kernel says of a process, read by other programs: the runtime would want every permission
 * to look into /proc itself.
 * @module
 */

/** What {@linkcode inspectProcess} finds. */
export interface ProcessFacts {
  /** Working directory. */
  cwd: string;
  /** Environment, as `K=V`. */
  environment: string[];
  /**
   * Open descriptors by number: what they lead to. A Unix socket without a name, one of a pair that a
   * process made for itself, is `unix:pair`.
   */
  descriptors: Map<number, string>;
  /** Fields of /proc/PID/status. */
  status: Map<string, string>;
  /** Soft and hard limits by the kernel's name. */
  limits: Map<string, [soft: string, hard: string]>;
  /** Kinds of namespaces that are not this process's own. */
  ownNamespaces: string[];
  /** Network interfaces that it sees. */
  interfaces: string[];
  /** How readily the kernel takes it when memory runs out. */
  oomScore: number;
}

async function output(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(command, { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}

/** Kinds of namespaces, each with the number of a process's. */
async function namespaces(pid: number): Promise<Map<string, string>> {
  const kinds = ["user", "net", "ipc", "mnt", "pid"];
  const links = await Promise.all(
    kinds.map((kind) => output("readlink", `/proc/${pid}/ns/${kind}`)),
  );
  return new Map(kinds.map((kind, index) => [kind, links[index]!.trim()]));
}

/** The links, as descriptors have them, of connected sockets (state 03) without a path. */
function unnamedSockets(table: string): Set<string> {
  const rows = table.trim().split("\n").map((line) => line.trim().split(/\s+/));
  return new Set(
    rows.filter(({ length, 5: state }) => length === 7 && state === "03")
      .map(([, , , , , , inode]) => `socket:[${inode}]`),
  );
}

/** Reads what there is to know of a live process. */
export async function inspectProcess(pid: number): Promise<ProcessFacts> {
  const proc = `/proc/${pid}`;
  const [own, theirs] = await Promise.all([namespaces(Deno.pid), namespaces(pid)]);
  const listed = await output("find", `${proc}/fd`, "-type", "l", "-printf", "%f %l\n");
  const status = await output("cat", `${proc}/status`);
  const limits = await output("cat", `${proc}/limits`);
  const interfaces = await output("cat", `${proc}/net/dev`);
  const pairs = unnamedSockets(await output("cat", `${proc}/net/unix`));
  return {
    cwd: (await output("readlink", `${proc}/cwd`)).trim(),
    environment: (await output("cat", `${proc}/environ`)).split("\0").filter(Boolean),
    descriptors: new Map(
      listed.trim().split("\n").map((line) => {
        const [fd, ...target] = line.split(" ");
        const leads = target.join(" ");
        return [Number(fd), pairs.has(leads) ? "unix:pair" : leads];
      }),
    ),
    status: new Map(
      status.trim().split("\n").map((line) => {
        const [name, value] = line.split(/:\s*/, 2);
        return [name!, value ?? ""];
      }),
    ),
    limits: new Map(
      limits.trim().split("\n").slice(1).map((line) => {
        const [name, soft, hard] = line.split(/\s{2,}/);
        return [name!, [soft!, hard!]];
      }),
    ),
    ownNamespaces: [...theirs].filter(([kind, link]) => link !== own.get(kind)).map(([kind]) =>
      kind
    ),
    interfaces: [...interfaces.matchAll(/^\s*(\S+):/gm)].map((match) => match[1]!),
    oomScore: Number(await output("cat", `${proc}/oom_score_adj`)),
  };
}

/** Whether the programs are there by which processes are inspected. */
export async function canInspect(): Promise<boolean> {
  try {
    return (await inspectProcess(Deno.pid)).status.get("Pid") === String(Deno.pid);
  } catch {
    return false;
  }
}
