/** Options of `parseArgs` that plasm uses. */
export interface ParseOptions {
  boolean?: readonly string[];
  string?: readonly string[];
  collect?: readonly string[];
  alias?: Record<string, string>;
  stopEarly?: boolean;
  "--"?: boolean;
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** Parses command-line arguments like minimist. */
export function parseArgs(
  args: string[],
  options?: ParseOptions,
): Record<string, unknown> & { _: Array<string | number>; "--"?: string[] };
