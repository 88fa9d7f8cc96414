/**
 * Creates the Unix socket that clients connect to.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { removeStaleFiles, STALE_SOCKET_FILES } from "../state_dir.ts";

/** Bytes of a socket's path that Linux takes (sun_path, without its end). */
const MAX_PATH_BYTES = 107;

function socketError(path: string, error: unknown): PlasmError {
  if (error instanceof PlasmError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new PlasmError("state", `Cannot listen on ${path}: ${reason}`, {
    hint: "Choose another with --socket or PLASM_SOCKET",
    cause: error,
  });
}

/**
 * The directory of a socket, which is made when it is missing.
 *
 * @throws {PlasmError} `state`
 */
export async function socketDir(path: string): Promise<string> {
  const dir = path.slice(0, path.lastIndexOf("/")) || "/";
  try {
    await Deno.mkdir(dir, { recursive: true, mode: 0o750 });
    return dir;
  } catch (error) {
    throw socketError(path, error);
  }
}

async function refuseLive(path: string): Promise<void> {
  try {
    (await Deno.connect({ transport: "unix", path })).close();
  } catch (error) {
    // Not listening: a stale socket of a killed daemon may be replaced.
    if (error instanceof Deno.errors.ConnectionRefused) return;
    if (error instanceof Deno.errors.NotFound) return;
    throw socketError(path, error);
  }
  throw new PlasmError("busy", `Cannot listen on ${path}: another daemon answers there`, {
    hint: "Stop the other daemon or choose another socket",
  });
}

async function refuseOther(path: string): Promise<void> {
  const info = await Deno.lstat(path).catch(() => undefined);
  if (info !== undefined && info.isSocket !== true) {
    throw new PlasmError("state", `Cannot listen on ${path}: it exists and is not a socket`);
  }
}

/** A listener and the path on which it is found. */
export interface SocketListener {
  listener: Deno.UnixListener;
  /** Takes the path away, unless another process has put its own there. */
  remove(): void;
}

/**
 * Checks that a path can be that of a socket.
 *
 * @throws {PlasmError} `state`
 */
export function checkSocketPath(path: string): void {
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > MAX_PATH_BYTES) {
    throw new PlasmError(
      "state",
      `Cannot listen on ${path}: ${bytes} bytes, a socket's path has at most ${MAX_PATH_BYTES}`,
      { hint: "Choose a shorter path with --socket or PLASM_SOCKET" },
    );
  }
}

/**
 * Listens on a unix socket with mode 0660 (owner and group), replacing a stale
 * one.
 *
 * The socket is made in a directory of mode 0700 and moved to its place once its own mode is right: there
 * is no moment in which the umask decides who may connect.
 *
 * @throws {PlasmError} `busy` when a daemon answers there, `state`
 */
export async function listenOnSocket(path: string): Promise<SocketListener> {
  checkSocketPath(path);
  try {
    const parent = await socketDir(path);
    await refuseOther(path);
    await refuseLive(path);
    removeStaleFiles(parent, STALE_SOCKET_FILES);
    const dir = await Deno.makeTempDir({ dir: parent, prefix: ".plasm-" });
    try {
      checkSocketPath(`${dir}/s`);
      const listener = Deno.listen({ transport: "unix", path: `${dir}/s` });
      await Deno.chmod(`${dir}/s`, 0o660);
      await Deno.rename(`${dir}/s`, path);
      const { ino } = await Deno.lstat(path);
      return { listener, remove: () => removeOwn(path, ino) };
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  } catch (error) {
    throw socketError(path, error);
  }
}

function removeOwn(path: string, ino: number | null): void {
  try {
    if (Deno.lstatSync(path).ino === ino) Deno.removeSync(path);
  } catch { /* gone already */ }
}
