/**
 * Starts the tools that a build needs.
 * @module
 */

/** Options of {@linkcode run}. */
export interface RunOptions {
  /**
   * Where it runs.
   * @default {the current directory}
   */
  cwd?: URL | string;
  /**
   * Variables beside those of this process.
   * @default {{}}
   */
  env?: Record<string, string>;
}

/** Runs a program to its end and gives what it printed; throws when it fails. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const [program, ...args] = command;
  const { success, code, stdout, stderr } = await new Deno.Command(program!, { args, ...options })
    .output();
  if (!success) {
    const said = new TextDecoder().decode(stderr).trim();
    throw new Error(`${command.join(" ")} failed with ${code}${said === "" ? "" : `: ${said}`}`);
  }
  return new TextDecoder().decode(stdout);
}
