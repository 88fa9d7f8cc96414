/**
 * Asks the npm registry for known vulnerabilities of the packages in deno.lock.
 *
 *     deno task audit [--strict]
 *
 * `deno audit` does the same, but does not use the system's certificate authorities. If the registry does not answer, the audit is
 * reported as skipped; with `--strict` that fails.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";

const LOCK = new URL("../deno.lock", import.meta.url);

/** Path of the bulk advisory endpoint below a registry: https://api-docs.npmjs.com. */
const ADVISORIES_PATH = "-/npm/v1/security/advisories/bulk";

/** Longest wait for the answer, in milliseconds. */
const TIMEOUT_MS = 30_000;

/** Severities that do not fail the audit. Every other one does, including unknown ones. */
const TOLERATED = ["info", "low", "moderate"];

/** A known vulnerability. */
export interface Advisory {
  package: string;
  severity: string;
  title: string;
  url: string;
}

/** Result of an audit, or the reason why it was skipped. */
export type Audit = { advisories: Advisory[] } | { skipped: string };

/** Versions of each npm package in a lock file. */
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

/** Endpoint of the registry that npm is configured to use. */
async function configuredEndpoint(): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("npm", {
    args: ["config", "get", "registry"],
  }).output();
  if (!success) throw new Error(`npm config failed: ${new TextDecoder().decode(stderr)}`);
  const registry = new TextDecoder().decode(stdout).trim();
  return new URL(ADVISORIES_PATH, registry.endsWith("/") ? registry : `${registry}/`).href;
}

/** Asks a registry for advisories. */
export async function audit(
  versions: Record<string, string[]>,
  endpoint: string,
): Promise<Audit> {
  let answer: unknown;
  try {
    const response = await fetch(endpoint, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(versions),
      signal: AbortSignal.timeout(TIMEOUT_MS),
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
    return { skipped: `${endpoint} answers something other than a list of advisories` };
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

/** Lines to print about an audit, and the exit status: 1 if a dependency must be updated. */
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
  const { lines, status } = verdict(
    await audit(versions, await configuredEndpoint()),
    strict === true,
  );
  for (const line of lines) console.log(line);
  Deno.exitCode = status;
}
