import { assertEquals } from "@std/assert";
import {
  canUseBatchScheduling,
  confineCommand,
  type ConfineOptions,
  probeConfinement,
} from "./confinement.ts";

const OPTIONS: ConfineOptions = { dataBytes: 2 ** 30 };

async function confined(...command: string[]): Promise<{ code: number; text: string }> {
  return await confinedWith(OPTIONS, ...command);
}

async function confinedWith(
  options: ConfineOptions,
  ...command: string[]
): Promise<{ code: number; text: string }> {
  const [path, ...args] = confineCommand(probeConfinement()!, options);
  const { code, stdout, stderr } = await new Deno.Command(path!, {
    args: [...args, ...command],
    clearEnv: true,
  }).output();
  return { code, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

Deno.test("confineCommand() leaves no id, and no way to another user namespace and its capabilities", async () => {
  if (probeConfinement()?.namespaces !== true) {
    console.warn("SKIPPED: the system denies namespaces");
    return;
  }
  // The same command works without confinement: probeConfinement() has tried it.
  assertEquals(await confined("/usr/bin/unshare", "--user", "/usr/bin/true"), {
    code: 1,
    text: "unshare: unshare failed: Operation not permitted\n",
  });
  assertEquals(await confined("/usr/bin/cat", "/proc/self/uid_map", "/proc/self/gid_map"), {
    code: 0,
    text: "",
  });
});

Deno.test("confineCommand() sets the maximum OOM score", async () => {
  if (probeConfinement() === undefined) {
    console.warn("SKIPPED: util-linux is missing");
    return;
  }
  assertEquals(await confined("/usr/bin/cat", "/proc/self/oom_score_adj"), {
    code: 0,
    text: "1000\n",
  });
});

Deno.test("confineCommand() schedules the program as SCHED_BATCH when isBatch is set", async () => {
  if (probeConfinement() === undefined || !canUseBatchScheduling()) {
    console.warn("SKIPPED: the system denies SCHED_BATCH");
    return;
  }
  // The 41st field of stat, see proc_pid_stat(5); SCHED_BATCH is 3. The name before it contains no spaces here.
  const policyOf = async (isBatch: boolean): Promise<string | undefined> => {
    const { text } = await confinedWith({ ...OPTIONS, isBatch }, "/usr/bin/cat", "/proc/self/stat");
    return text.split(" ")[40];
  };
  assertEquals(await policyOf(true), "3");
  assertEquals(await policyOf(false), "0");
});
