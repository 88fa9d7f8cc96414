import { writePrivateFile } from "../core/state_file.ts";
import {
  lockStateDir,
  removeStaleFiles,
  STALE_SOCKET_FILES,
  STALE_STATE_FILES,
} from "./state_dir.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../core/errors/mod.ts";

const HOUR_MS = 3_600_000;

Deno.test("removeStaleFiles() deletes old files with a matching name only", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const old = new Date(Date.now() - HOUR_MS);
    const ahead = new Date(Date.now() + HOUR_MS);
    const uuid = crypto.randomUUID();
    const files: [name: string, changed: Date][] = [
      ["identity.key.0123456789abcdef.tmp", old],
      [`peers.json.${uuid}.tmp`, ahead],
      ["api.token.0123456789abcdef.tmp", new Date()],
      ["notes.tmp", old],
      ["jobs.db", old],
    ];
    await writePrivateFile(`${dir}/identity.key`, "");
    for (const [name, changed] of files) {
      await Deno.writeTextFile(`${dir}/${name}`, "");
      await Deno.utime(`${dir}/${name}`, changed, changed);
    }
    await Deno.mkdir(`${dir}/.plasm-0a1b2c`);
    await Deno.writeTextFile(`${dir}/.plasm-0a1b2c/s`, "");
    await Deno.utime(`${dir}/.plasm-0a1b2c`, old, old);
    assertEquals(removeStaleFiles(dir, STALE_STATE_FILES), 2);
    assertEquals(removeStaleFiles(dir, STALE_SOCKET_FILES), 1);
    assertEquals([...Deno.readDirSync(dir)].map(({ name }) => name).sort(), [
      "api.token.0123456789abcdef.tmp",
      "identity.key",
      "jobs.db",
      "notes.tmp",
    ]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("lockStateDir() refuses a directory with a named pipe, whose opening would block", async () => {
  for (const name of ["daemon.lock", "jobs.db", "jobs.db-wal", "jobs.db.clean"]) {
    const dir = await Deno.makeTempDir();
    try {
      const { success } = await new Deno.Command("mkfifo", { args: [`${dir}/${name}`] }).output();
      assertEquals(success, true);
      const error = assertThrows(() => lockStateDir(dir), PlasmError, `${name} is a named pipe`);
      assertEquals(error.code, "state");
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  }
});
