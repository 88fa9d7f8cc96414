/**
 * What ps(1) tells of processes: the runtime would want every permission to look into /proc itself.
 * @module
 */

async function ps(...args: string[]): Promise<number[]> {
  const { stdout } = await new Deno.Command("ps", { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout).split(/\s+/).filter(Boolean).map(Number);
}

/** Whether there is a ps; says so where there is none. */
export async function hasPs(): Promise<boolean> {
  try {
    if ((await ps("-o", "pid=", "-p", `${Deno.pid}`))[0] === Deno.pid) return true;
  } catch { /* told below */ }
  console.warn("SKIPPED: there is no ps (Debian: procps)");
  return false;
}

/** Ids of a process's children. */
export function childrenOf(pid: number): Promise<number[]> {
  return ps("-o", "pid=", "--ppid", `${pid}`);
}

/** Resident memory of a process, in KiB. */
export async function rssKb(pid: number): Promise<number> {
  return (await ps("-o", "rss=", "-p", `${pid}`))[0]!;
}

/** Whether a process is there and no zombie. */
export async function isAlive(pid: number): Promise<boolean> {
  const { stdout } = await new Deno.Command("ps", { args: ["-o", "stat=", "-p", `${pid}`] })
    .output();
  const state = new TextDecoder().decode(stdout).trim()[0];
  return state !== undefined && state !== "Z";
}

/** What a process has. */
export interface Observation {
  /** Ids of its children. */
  children: number[];
  /** How many descriptors are open. */
  descriptors: number;
  /** Resident memory, in KiB. */
  rssKb: number;
}

/** Looks at a process. */
export async function observe(pid: number): Promise<Observation> {
  const { stdout } = await new Deno.Command("ls", { args: [`/proc/${pid}/fd`] }).output();
  const descriptors = new TextDecoder().decode(stdout).split("\n").filter(Boolean).length;
  // ps itself is a child of this process, not of that.
  return { children: await childrenOf(pid), descriptors, rssKb: await rssKb(pid) };
}

/** CPU time that processes have used, all of their threads together, in nanoseconds. */
export async function cpuNs(pids: readonly number[]): Promise<number> {
  const files = pids.map((pid) => `/proc/${pid}/task/*/schedstat`).join(" ");
  const { stdout } = await new Deno.Command("sh", { args: ["-c", `cat ${files}`] }).output();
  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  return lines.reduce((sum, line) => sum + Number(line.split(" ")[0]), 0);
}
