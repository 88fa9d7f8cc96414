/**
 * Checks the packages in deno.lock for known vulnerabilities, using the npm registry's bulk advisory endpoint.
 *
 *     deno task audit [--strict]
 *
 * `deno audit` does the same but ignores the system's certificate authorities. An unreachable registry skips the
 * audit; with `--strict` that is a failure.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";

const LOCK = new URL("../deno.lock", import.meta.url);

/** Path of the bulk advisory endpoint below a registry: https://api-docs.npmjs.com. */
const ADVISORIES_PATH = "-/npm/v1/security/advisories/bulk";

/** Request timeout in milliseconds. */
const TIMEOUT_MS = 30_000;

/** Severities that do not fail the audit. All others do, including unknown ones. */
const TOLERATED = ["info", "low", "moderate"];

/** Known vulnerability of a package. */
export interface Advisory {
  package: string;
  severity: string;
  title: string;
  url: string;
}

/** Result of an audit, or the reason why it was skipped. */
export type Audit = { advisories: Advisory[] } | { skipped: string };

/** Collects the locked versions of each npm package. */
export function lockedVersions(lock: { npm?: Record<string, unknown> }): Record<string, string[]> {
  const versions: Record<string, string[]> = {};
  for (const key of Object.keys(lock.npm ?? {})) {
    // Keys have the form NAME@VERSION, followed by _PEER@VERSION for each resolved peer dependency.
    const [, name, version] = /^(@?[^@]+)@([^_]+)/.exec(key) ?? [];
    if (name === undefined || version === undefined) {
      throw new Error(`Unknown entry in deno.lock: ${key}`);
    }
    const known = versions[name] ??= [];
    if (!known.includes(version)) known.push(version);
  }
  return versions;
}

/** Returns the advisory endpoint of the registry that npm is configured to use. */
async function configuredEndpoint(): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("npm", {
    args: ["config", "get", "registry"],
  }).output();
  if (!success) throw new Error(`npm config failed: ${new TextDecoder().decode(stderr)}`);
  const registry = new TextDecoder().decode(stdout).trim();
  return new URL(ADVISORIES_PATH, registry.endsWith("/") ? registry : `${registry}/`).href;
}

/** Requests advisories from a registry. */
export async function audit(
  versions: Record<string, string[]>,
  endpoint: string,
): Promise<Audit> {
  let body: unknown;
  try {
    const response = await fetch(endpoint, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(versions),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) {
      await response.body?.cancel();
      return { skipped: `${endpoint} returned ${response.status} ${response.statusText}` };
    }
    body = await response.json();
  } catch (error) {
    return { skipped: `${endpoint}: ${error instanceof Error ? error.message : error}` };
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    return { skipped: `${endpoint} did not return a list of advisories` };
  }
  const advisories = Object.entries(body).flatMap(([name, found]) =>
    (Array.isArray(found) ? found : [found]).map((one): Advisory => ({
      package: name,
      severity: String(one?.severity),
      title: String(one?.title),
      url: String(one?.url),
    }))
  );
  return { advisories };
}

/** Formats the result of an audit. The exit status is 1 if a dependency must be updated. */
export function verdict(found: Audit, strict = false): { lines: string[]; status: 0 | 1 } {
  if ("skipped" in found) {
    return { lines: [`SKIPPED: audit: ${found.skipped}`], status: strict ? 1 : 0 };
  }
  const { advisories } = found;
  const bad = advisories.filter(({ severity }) => !TOLERATED.includes(severity));
  return {
    lines: [
      ...advisories.map((one) => `${one.severity}  ${one.package}: ${one.title}  ${one.url}`),
      `${advisories.length} known vulnerabilities, ${bad.length} rated high or worse`,
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
