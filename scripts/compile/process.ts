/**
 * Runs the external tools of a build.
 * @module
 */

/** Options of {@linkcode run}. */
export interface RunOptions {
  /**
   * Working directory.
   * @default {the current directory}
   */
  cwd?: URL | string;
  /**
   * Additional environment variables.
   * @default {{}}
   */
  env?: Record<string, string>;
}

/** Runs a program and returns its output; throws if it fails. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const [program, ...args] = command;
  const { success, code, stdout, stderr } = await new Deno.Command(program!, { args, ...options })
    .output();
  if (!success) {
    const errorText = new TextDecoder().decode(stderr).trim();
    throw new Error(
      `${command.join(" ")} failed with ${code}${errorText === "" ? "" : `: ${errorText}`}`,
    );
  }
  return new TextDecoder().decode(stdout);
}
