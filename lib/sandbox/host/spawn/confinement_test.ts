import { assertEquals } from "@std/assert";
import { canBatch, confine, confinement, type ConfineOptions } from "./confinement.ts";

const OPTIONS: ConfineOptions = { dataBytes: 2 ** 30 };

async function confined(...command: string[]): Promise<[number, string]> {
  return await confinedWith(OPTIONS, ...command);
}

async function confinedWith(
  options: ConfineOptions,
  ...command: string[]
): Promise<[number, string]> {
  const [path, ...args] = confine(confinement()!, options);
  const { code, stdout, stderr } = await new Deno.Command(path!, {
    args: [...args, ...command],
    clearEnv: true,
  }).output();
  return [code, new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr)];
}

Deno.test("confine() leaves no id, and no way to another user namespace and its capabilities", async () => {
  if (confinement()?.namespaces !== true) {
    console.warn("SKIPPED: the system refuses namespaces");
    return;
  }
  // That it can be done is what confinement() has found out by doing it.
  assertEquals(await confined("/usr/bin/unshare", "--user", "/usr/bin/true"), [
    1,
    "unshare: unshare failed: Operation not permitted\n",
  ]);
  assertEquals(await confined("/usr/bin/cat", "/proc/self/uid_map", "/proc/self/gid_map"), [0, ""]);
});

Deno.test("confine() lets the kernel take the program first when memory runs out", async () => {
  if (confinement() === undefined) {
    console.warn("SKIPPED: there is no util-linux");
    return;
  }
  assertEquals(await confined("/usr/bin/cat", "/proc/self/oom_score_adj"), [0, "1000\n"]);
});

Deno.test("confine() has the program stop no other when it is woken, where that is asked", async () => {
  if (confinement() === undefined || !canBatch()) {
    console.warn("SKIPPED: the system refuses other ways of scheduling");
    return;
  }
  // The 41st field of stat, see proc_pid_stat(5); SCHED_BATCH is 3. The name before it has no blanks here.
  const policyOf = async (isBatch: boolean): Promise<string | undefined> => {
    const [, stat] = await confinedWith({ ...OPTIONS, isBatch }, "/usr/bin/cat", "/proc/self/stat");
    return stat.split(" ")[40];
  };
  assertEquals(await policyOf(true), "3");
  assertEquals(await policyOf(false), "0");
});
