/**
 * Runs PHP, where there is one.
 * @module
 */

/** The repository's root. */
export const ROOT: string = decodeURIComponent(new URL("../", import.meta.url).pathname);

/** What a finished script left. */
export interface PhpResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Options of {@linkcode php}. */
export interface PhpOptions {
  /** Standard input. @default {empty} */
  stdin?: string;
  /** Variables added to an empty environment. @default {{}} */
  env?: Record<string, string>;
}

/** Runs PHP in the repository's root, so that every notice it gives is on standard error. */
export async function php(args: string[], options: PhpOptions = {}): Promise<PhpResult> {
  const child = new Deno.Command("php", {
    args: ["-d", "error_reporting=-1", "-d", "display_errors=stderr", ...args],
    cwd: ROOT,
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin", ...options.env },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writing = new Blob([options.stdin ?? ""]).stream().pipeTo(child.stdin)
    // A script may end without reading its input.
    .catch(() => {});
  const { code, stdout, stderr } = await child.output();
  await writing;
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Why tests of the PHP SDK cannot run here; `undefined` where they can. */
export async function whyNoPhp(): Promise<string | undefined> {
  try {
    const { stdout } = await php([
      "-r",
      'echo PHP_VERSION, extension_loaded("sodium") ? "" : "-";',
    ]);
    const [major = 0, minor = 0] = stdout.split(".").map(Number);
    if (stdout.endsWith("-")) return "php has no sodium";
    return major > 8 || (major === 8 && minor >= 1)
      ? undefined
      : `php is ${stdout}, not 8.1 or later`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "there is no php (Debian: php-cli)";
    throw error;
  }
}
