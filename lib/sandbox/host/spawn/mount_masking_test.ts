import { assertEquals } from "@std/assert";
import { confine, confinement } from "./confinement.ts";
import { hide, hideable, KEPT_DIR } from "./mount_masking.ts";

async function inDir(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Runs a command as an executor is, with a directory hidden. */
function run(dir: string, ...command: string[]): Promise<{ code: number; text: string }> {
  return runKeeping(undefined, dir, command);
}

/** The same, with one directory kept. */
async function runKeeping(
  kept: string | undefined,
  dir: string,
  command: string[],
): Promise<{ code: number; text: string }> {
  const chain = [
    ...hide([dir], kept),
    ...confine(confinement()!, { dataBytes: 2 ** 30 }),
    ...command,
  ];
  const [path, ...args] = chain;
  const { code, stdout, stderr } = await new Deno.Command(path!, { args, clearEnv: true }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

async function isPossible(): Promise<boolean> {
  if (confinement()?.namespaces === true) {
    let possible = false;
    await inDir(async (dir) => {
      possible = (await run(dir, "/usr/bin/true")).code === 0;
    });
    if (possible) return true;
  }
  console.warn("SKIPPED: the system refuses the namespaces that it takes");
  return false;
}

Deno.test("hide() takes a directory away, and nothing brings it back", async () => {
  if (!await isPossible()) return;
  await inDir(async (dir) => {
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
    // Without, it can be read: this is what is taken away.
    const [path, ...args] = confine(confinement()!, { dataBytes: 2 ** 30 });
    const { success } = await new Deno.Command(path!, {
      args: [...args, "/usr/bin/ls", "/"],
      clearEnv: true,
    }).output();
    assertEquals(success, true);
  });
});

Deno.test("hide() shows the one directory that is kept, and nothing beside it", async () => {
  if (!await isPossible()) return;
  await inDir(async (dir) => {
    await Deno.writeTextFile(`${dir}/key`, "secret");
    for (const name of ["mine", "other"]) {
      await Deno.mkdir(`${dir}/${name}`);
      await Deno.writeTextFile(`${dir}/${name}/s`, name);
    }
    const look = (path: string) => runKeeping(`${dir}/mine`, dir, ["/usr/bin/cat", path]);
    assertEquals(await look(`${KEPT_DIR}/s`), { code: 0, text: "mine" });
    for (const path of [`${KEPT_DIR}/../key`, `${KEPT_DIR}/../other/s`, `${dir}/other/s`]) {
      const { code, text } = await look(path);
      assertEquals([code === 0, /secret|other$/.test(text)], [false, false], path);
    }
  });
});

Deno.test("hide() leaves no environment, and only what follows", async () => {
  if (!await isPossible()) return;
  await inDir(async (dir) => {
    assertEquals(await run(dir, "/usr/bin/env"), { code: 0, text: "" });
    assertEquals(await run(dir, "/usr/bin/printf", "%s|", "--", "a b"), {
      code: 0,
      text: "--|a b|",
    });
  });
});

Deno.test("hideable() leaves out what is needed, is not there or is hidden already", () =>
  inDir(async (given) => {
    const dir = await Deno.realPath(given);
    await Deno.mkdir(`${dir}/run/inner`, { recursive: true });
    await Deno.mkdir(`${dir}/state`);
    await Deno.symlink(`${dir}/state`, `${dir}/link`);
    const paths = [`${dir}/state`, `${dir}/link`, `${dir}/run`, `${dir}/run/inner`, `${dir}/none`];
    assertEquals(hideable(paths, "/usr/bin/plasm"), [`${dir}/state`, `${dir}/run`]);
    assertEquals(hideable(paths, `${dir}/run/plasm`), [`${dir}/state`, `${dir}/run/inner`]);
    assertEquals(hideable(["/", dir], `${dir}/bin/plasm`), []);
  }));
