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
