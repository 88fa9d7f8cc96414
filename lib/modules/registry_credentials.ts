/**
 * Reads the credentials of OCI registries from Docker's configuration, and exchanges them for tokens.
 *
 * @module
 */
import { type Env, parseJson } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { escapeText } from "../util/mod.ts";
import type { Downloader } from "./download.ts";
import { isLoopback } from "./reference.ts";

/** Maximum size of Docker's configuration and of a token response, in bytes. */
const MAX_BYTES = 256 * 1024;

/** What a registry asks for: the fields of `WWW-Authenticate`. */
interface Challenge {
  scheme: string;
  fields: Map<string, string>;
}

/** Names under which Docker's configuration stores the credentials of Docker Hub. */
const DOCKER_HUB = ["https://index.docker.io/v1/", "docker.io", "index.docker.io"];

/**
 * Reads `user:password` in base64 for a registry from `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
 *
 * @returns undefined if there is none; credential helpers are not started
 * @throws {PlasmError} `usage` if the file is not JSON
 */
export async function readCredentials(registry: string, env: Env): Promise<string | undefined> {
  const home = env("HOME");
  const dir = env("DOCKER_CONFIG") || (home ? `${home}/.docker` : undefined);
  if (dir === undefined) return undefined;
  const path = `${dir}/config.json`;
  let text: Uint8Array;
  try {
    text = await Deno.readFile(path);
  } catch {
    return undefined; // absent or unreadable: anonymous access
  }
  const config = parseJson(text, { maxBytes: MAX_BYTES, code: "usage", what: escapeText(path) });
  const auths = field(config, "auths");
  const names = registry === "registry-1.docker.io" ? [registry, ...DOCKER_HUB] : [
    registry,
    `https://${registry}`,
    `https://${registry}/`,
  ];
  for (const name of names) {
    const auth = field(field(auths, name), "auth");
    if (typeof auth === "string" && /^[A-Za-z0-9+/]+=*$/.test(auth)) return auth;
  }
  return undefined;
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

/** Options of {@linkcode authorize}. */
export interface AuthorizeOptions {
  /** Header field of the refusal. */
  challenge: string;
  /** URL that was refused. */
  url: URL;
  /** `user:password` in base64. @default {anonymous} */
  credentials?: string | undefined;
  /** Scope if the challenge names none. */
  scope: string;
  downloader: Downloader;
  /** Aborts the request. @default {never} */
  signal?: AbortSignal | undefined;
}

/**
 * Answers a registry's challenge.
 *
 * @returns the `authorization` field for the next request
 * @throws {PlasmError} `unauthorized`, or as {@linkcode Downloader.get}
 */
export async function authorize(options: AuthorizeOptions): Promise<string> {
  const { url, credentials, downloader, signal } = options;
  const { scheme, fields } = parseChallenge(options.challenge);
  if (scheme === "basic" && credentials !== undefined) return `Basic ${credentials}`;
  const realm = fields.get("realm") ?? "";
  if (scheme !== "bearer" || !URL.canParse(realm)) throw unauthorized(url, "no known login");
  const token = new URL(realm);
  if (token.protocol !== "https:" && !(token.protocol === "http:" && isLoopback(url.hostname))) {
    throw unauthorized(url, `it names a login without https, ${escapeText(realm)}`);
  }
  const service = fields.get("service");
  if (service !== undefined) token.searchParams.set("service", service);
  token.searchParams.set("scope", fields.get("scope") ?? options.scope);
  // Credentials go only to a login server in the domain of the registry.
  const own = credentials !== undefined && hasSameDomain(token.hostname, url.hostname);
  const { content } = await downloader.get(token, {
    maxBytes: MAX_BYTES,
    headers: own ? { authorization: `Basic ${credentials}` } : {},
    signal,
  });
  const response = parseJson(content, { maxBytes: MAX_BYTES, code: "protocol", what: "token" });
  const value = field(response, "token") ?? field(response, "access_token");
  if (typeof value !== "string" || !/^[\x21-\x7e]{1,65536}$/.test(value)) {
    throw unauthorized(url, "its login returned no token");
  }
  return `Bearer ${value}`;
}

function unauthorized(url: URL, why: string): PlasmError {
  return new PlasmError(
    "unauthorized",
    `Cannot log in to ${escapeText(url.host)}: ${why}`,
    { hint: "Log in with docker login; plasm reads ~/.docker/config.json" },
  );
}

function parseChallenge(text: string): Challenge {
  const [, scheme = "", rest = ""] = /^\s*([A-Za-z]+)\s*(.*)$/s.exec(text.slice(0, 4096)) ?? [];
  const fields = new Map<string, string>();
  for (const [, name, quoted, plain] of rest.matchAll(/([a-z_]+)=(?:"([^"]*)"|([^",\s]+))/gi)) {
    fields.set(name!.toLowerCase(), quoted ?? plain ?? "");
  }
  return { scheme: scheme.toLowerCase(), fields };
}

/** Reports whether two hosts are one, or share a domain of at least two labels. */
export function hasSameDomain(a: string, b: string): boolean {
  if (a === b) return true;
  if (isAddress(a) || isAddress(b)) return false;
  const domain = (host: string): string => host.split(".").slice(-2).join(".");
  return a.includes(".") && domain(a) === domain(b);
}

function isAddress(host: string): boolean {
  return host.startsWith("[") || /^[\d.]+$/.test(host);
}
