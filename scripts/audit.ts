/**
 * Asks npm's registry for known vulnerabilities of the packages in deno.lock.
 *
 *     deno task audit [--strict]
 *
 * `deno audit` does the same, but knows no certificate authority of a network's own. Where the registry
 * does not answer such questions, this says so and is no failure, unless `--strict` is given.
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";

const LOCK = new URL("../deno.lock", import.meta.url);

/** https://api-docs.npmjs.com: gives the advisories that hold for one of the versions asked about. */
const ENDPOINT = "https://registry.npmjs.org/-/npm/v1/security/advisories/bulk";

/** Longest wait for the answer, in milliseconds. */
const PATIENCE_MS = 30_000;

/** What does not fail the audit; everything else does, also what nobody has heard of yet. */
const TOLERATED = ["info", "low", "moderate"];

/** A known vulnerability. */
export interface Advisory {
  package: string;
  severity: string;
  title: string;
  url: string;
}

/** What an audit found, or why there was none. */
export type Audit = { advisories: Advisory[] } | { skipped: string };

/** The versions of each npm package that a lock file has. */
export function lockedVersions(lock: { npm?: Record<string, unknown> }): Record<string, string[]> {
  const versions: Record<string, string[]> = {};
  for (const key of Object.keys(lock.npm ?? {})) {
    // NAME@VERSION, then _PEER@VERSION for each peer that the version was resolved with.
    const [, name, version] = /^(@?[^@]+)@([^_]+)/.exec(key) ?? [];
    if (name === undefined || version === undefined) {
      throw new Error(`Unknown in deno.lock: ${key}`);
    }
    const known = versions[name] ??= [];
    if (!known.includes(version)) known.push(version);
  }
  return versions;
}

/** Asks a registry. */
export async function audit(
  versions: Record<string, string[]>,
  endpoint: string = ENDPOINT,
): Promise<Audit> {
  let answer: unknown;
  try {
    const response = await fetch(endpoint, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(versions),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (!response.ok) {
      await response.body?.cancel();
      return { skipped: `${endpoint} answers ${response.status} ${response.statusText}` };
    }
    answer = await response.json();
  } catch (error) {
    return { skipped: `${endpoint}: ${error instanceof Error ? error.message : error}` };
  }
  if (typeof answer !== "object" || answer === null || Array.isArray(answer)) {
    return { skipped: `${endpoint} answers what is no list of advisories` };
  }
  const advisories = Object.entries(answer).flatMap(([name, found]) =>
    (Array.isArray(found) ? found : [found]).map((one): Advisory => ({
      package: name,
      severity: String(one?.severity),
      title: String(one?.title),
      url: String(one?.url),
    }))
  );
  return { advisories };
}

/** What is said of an audit, and the exit status: 1 when there is something to be done. */
export function verdict(found: Audit, strict = false): { lines: string[]; status: 0 | 1 } {
  if ("skipped" in found) {
    return { lines: [`SKIPPED: the audit: ${found.skipped}`], status: strict ? 1 : 0 };
  }
  const { advisories } = found;
  const bad = advisories.filter(({ severity }) => !TOLERATED.includes(severity));
  return {
    lines: [
      ...advisories.map((one) => `${one.severity}  ${one.package}: ${one.title}  ${one.url}`),
      `${advisories.length} known vulnerabilities, ${bad.length} of them high or worse`,
    ],
    status: bad.length === 0 ? 0 : 1,
  };
}

if (import.meta.main) {
  const { strict } = parseArgs(Deno.args, { boolean: ["strict"] });
  const versions = lockedVersions(JSON.parse(await Deno.readTextFile(LOCK)));
  console.log(`${Object.keys(versions).length} npm packages in deno.lock`);
  const { lines, status } = verdict(await audit(versions), strict === true);
  for (const line of lines) console.log(line);
  Deno.exitCode = status;
}
