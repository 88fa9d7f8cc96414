import { assertEquals } from "@std/assert";
import { tempDir } from "../../../../tests/fixtures/temp_dir.ts";
import {
  canUseBatchScheduling,
  confineCommand,
  type ConfineOptions,
  EXPOSED_DIR,
  maskablePaths,
  maskCommand,
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

Deno.test("confineCommand() schedules the program as SCHED_BATCH or SCHED_IDLE", async () => {
  if (probeConfinement() === undefined || !canUseBatchScheduling()) {
    console.warn("SKIPPED: the system denies SCHED_BATCH");
    return;
  }
  // The 41st field of stat, see proc_pid_stat(5); SCHED_BATCH is 3, SCHED_IDLE 5. The name before it contains no spaces here.
  const policyOf = async (scheduling: Partial<ConfineOptions>): Promise<string | undefined> => {
    const options = { ...OPTIONS, ...scheduling };
    const { text } = await confinedWith(options, "/usr/bin/cat", "/proc/self/stat");
    return text.split(" ")[40];
  };
  assertEquals(await policyOf({ isBatch: true }), "3");
  assertEquals(await policyOf({ isIdle: true }), "5");
  assertEquals(await policyOf({}), "0");
});

/** Runs a command confined like an executor, with a masked directory. */
function run(dir: string, ...command: string[]): Promise<{ code: number; text: string }> {
  return runExposing(undefined, dir, command);
}

/** The same with an exposed directory. */
async function runExposing(
  exposed: string | undefined,
  dir: string,
  command: string[],
): Promise<{ code: number; text: string }> {
  const chain = [
    ...maskCommand([dir], exposed),
    ...confineCommand(probeConfinement()!, { dataBytes: 2 ** 30 }),
    ...command,
  ];
  const [path, ...args] = chain;
  const { code, stdout, stderr } = await new Deno.Command(path!, { args, clearEnv: true }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

async function isPossible(): Promise<boolean> {
  if (probeConfinement()?.namespaces === true) {
    let possible = false;
    {
      await using temp = await tempDir();
      const dir = temp.path;
      possible = (await run(dir, "/usr/bin/true")).code === 0;
    }
    if (possible) return true;
  }
  console.warn("SKIPPED: the system denies the required namespaces");
  return false;
}

Deno.test("maskCommand() masks a directory, and the masked process cannot undo it", async () => {
  if (!await isPossible()) return;
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.writeTextFile(`${dir}/key`, "secret");
  const attempts: [string, ...string[]][] = [
    ["/usr/bin/cat", `${dir}/key`],
    ["/usr/bin/ls", dir],
    ["/usr/bin/umount", dir],
    ["/usr/bin/cat", `/proc/${Deno.pid}/root${dir}/key`],
    ["/usr/bin/nsenter", "--target", `${Deno.pid}`, "--mount", "/usr/bin/cat", `${dir}/key`],
    ["/usr/bin/unshare", "--user", "--map-root-user", "--mount", "/usr/bin/umount", dir],
    ["/usr/bin/touch", `${dir}/mine`],
  ];
  for (const attempt of attempts) {
    const { code, text } = await run(dir, ...attempt);
    assertEquals({ succeeded: code === 0, readSecret: text.includes("secret") }, {
      succeeded: false,
      readSecret: false,
    }, attempt.join(" "));
  }
  assertEquals([...Deno.readDirSync(dir)].map(({ name }) => name), ["key"]);
  // Confinement without masking can list directories.
  const [path, ...args] = confineCommand(probeConfinement()!, { dataBytes: 2 ** 30 });
  const { success } = await new Deno.Command(path!, {
    args: [...args, "/usr/bin/ls", "/"],
    clearEnv: true,
  }).output();
  assertEquals(success, true);
});

Deno.test("maskCommand() exposes one directory without its siblings", async () => {
  if (!await isPossible()) return;
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.writeTextFile(`${dir}/key`, "secret");
  for (const name of ["mine", "other"]) {
    await Deno.mkdir(`${dir}/${name}`);
    await Deno.writeTextFile(`${dir}/${name}/s`, name);
  }
  const look = (path: string) => runExposing(`${dir}/mine`, dir, ["/usr/bin/cat", path]);
  assertEquals(await look(`${EXPOSED_DIR}/s`), { code: 0, text: "mine" });
  for (const path of [`${EXPOSED_DIR}/../key`, `${EXPOSED_DIR}/../other/s`, `${dir}/other/s`]) {
    const { code, text } = await look(path);
    assertEquals({ succeeded: code === 0, readSecret: /secret|other$/.test(text) }, {
      succeeded: false,
      readSecret: false,
    }, path);
  }
});

Deno.test("maskCommand() clears the environment and passes arguments unchanged", async () => {
  if (!await isPossible()) return;
  await using temp = await tempDir();
  const dir = temp.path;
  assertEquals(await run(dir, "/usr/bin/env"), { code: 0, text: "" });
  assertEquals(await run(dir, "/usr/bin/printf", "%s|", "--", "a b"), {
    code: 0,
    text: "--|a b|",
  });
});

Deno.test("maskablePaths() omits paths that are required, missing or nested", async () => {
  await using temp = await tempDir();
  const given = temp.path;
  const dir = await Deno.realPath(given);
  await Deno.mkdir(`${dir}/run/inner`, { recursive: true });
  await Deno.mkdir(`${dir}/state`);
  await Deno.symlink(`${dir}/state`, `${dir}/link`);
  const paths = [`${dir}/state`, `${dir}/link`, `${dir}/run`, `${dir}/run/inner`, `${dir}/none`];
  assertEquals(maskablePaths(paths, "/usr/bin/plasm"), [`${dir}/state`, `${dir}/run`]);
  assertEquals(maskablePaths(paths, `${dir}/run/plasm`), [`${dir}/state`, `${dir}/run/inner`]);
  assertEquals(maskablePaths(["/", dir], `${dir}/bin/plasm`), []);
});
