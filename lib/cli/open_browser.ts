/**
 * Opens an address with a secret in the user's browser.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";

/** Opens files and addresses with the program of the user's desktop (package xdg-utils). */
export const BROWSER_OPENER = "/usr/bin/xdg-open";

/** Options of {@linkcode openInBrowser}. */
export interface OpenBrowserOptions {
  /** Directory of the user's runtime files, on which other users have no rights. @default {the temporary directory} */
  runtimeDir?: string | undefined;
  /** Program that opens a file. @default {BROWSER_OPENER} */
  program?: string | undefined;
  /** Called when the program has failed. */
  onFailure: (error: PlasmError) => void;
}

/**
 * Opens an address by way of a private file that leads to it: every user of the machine can read the arguments of a
 * process. Returns at once; disposal removes the file.
 *
 * @throws {PlasmError} `usage` if the program cannot be started
 */
export async function openInBrowser(
  url: string,
  { runtimeDir, program = BROWSER_OPENER, onFailure }: OpenBrowserOptions,
): Promise<AsyncDisposable> {
  const dir = await Deno.makeTempDir({
    prefix: "plasm-",
    ...(runtimeDir === undefined ? {} : { dir: runtimeDir }),
  });
  const remove = async (): Promise<void> => await Deno.remove(dir, { recursive: true });
  try {
    const path = `${dir}/dashboard.html`;
    await Deno.writeTextFile(path, leadTo(url), { createNew: true, mode: 0o600 });
    const child = new Deno.Command(program, {
      args: [path],
      stdin: "null",
      stdout: "null",
      stderr: "null",
      // Ctrl-C ends the dashboard, not the browser.
      detached: true,
    }).spawn();
    child.unref();
    void child.status.then(({ success, code }) => {
      if (!success) onFailure(failure(`${program} ended with status ${code}`));
    });
    return { [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw failure(`${program} is not installed`);
  }
}

function leadTo(url: string): string {
  return `<!doctype html>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=${url}">
<title>plasm</title>
<a href="${url}">Open the dashboard</a>
`;
}

function failure(why: string): PlasmError {
  return new PlasmError("usage", `Cannot open a browser: ${why}`, {
    hint: "Open the printed address yourself; Debian's package xdg-utils has xdg-open",
  });
}
