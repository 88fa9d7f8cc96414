import { assertEquals } from "@std/assert";
import { confineCommand, probeConfinement } from "./confinement.ts";
import { EXPOSED_DIR, maskablePaths, maskCommand } from "./mount_masking.ts";

async function withDir(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

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
    await withDir(async (dir) => {
      possible = (await run(dir, "/usr/bin/true")).code === 0;
    });
    if (possible) return true;
  }
  console.warn("SKIPPED: the system denies the required namespaces");
  return false;
}

Deno.test("maskCommand() masks a directory, and the masked process cannot undo it", async () => {
  if (!await isPossible()) return;
  await withDir(async (dir) => {
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
      assertEquals([code === 0, text.includes("secret")], [false, false], attempt.join(" "));
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
});

Deno.test("maskCommand() exposes one directory without its siblings", async () => {
  if (!await isPossible()) return;
  await withDir(async (dir) => {
    await Deno.writeTextFile(`${dir}/key`, "secret");
    for (const name of ["mine", "other"]) {
      await Deno.mkdir(`${dir}/${name}`);
      await Deno.writeTextFile(`${dir}/${name}/s`, name);
    }
    const look = (path: string) => runExposing(`${dir}/mine`, dir, ["/usr/bin/cat", path]);
    assertEquals(await look(`${EXPOSED_DIR}/s`), { code: 0, text: "mine" });
    for (const path of [`${EXPOSED_DIR}/../key`, `${EXPOSED_DIR}/../other/s`, `${dir}/other/s`]) {
      const { code, text } = await look(path);
      assertEquals([code === 0, /secret|other$/.test(text)], [false, false], path);
    }
  });
});

Deno.test("maskCommand() clears the environment and passes arguments unchanged", async () => {
  if (!await isPossible()) return;
  await withDir(async (dir) => {
    assertEquals(await run(dir, "/usr/bin/env"), { code: 0, text: "" });
    assertEquals(await run(dir, "/usr/bin/printf", "%s|", "--", "a b"), {
      code: 0,
      text: "--|a b|",
    });
  });
});

Deno.test("maskablePaths() omits paths that are required, missing or nested", () =>
  withDir(async (given) => {
    const dir = await Deno.realPath(given);
    await Deno.mkdir(`${dir}/run/inner`, { recursive: true });
    await Deno.mkdir(`${dir}/state`);
    await Deno.symlink(`${dir}/state`, `${dir}/link`);
    const paths = [`${dir}/state`, `${dir}/link`, `${dir}/run`, `${dir}/run/inner`, `${dir}/none`];
    assertEquals(maskablePaths(paths, "/usr/bin/plasm"), [`${dir}/state`, `${dir}/run`]);
    assertEquals(maskablePaths(paths, `${dir}/run/plasm`), [`${dir}/state`, `${dir}/run/inner`]);
    assertEquals(maskablePaths(["/", dir], `${dir}/bin/plasm`), []);
  }));
