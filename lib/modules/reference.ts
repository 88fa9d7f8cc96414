/**
 * Parses references to modules: a file, standard input, a URL, an artifact of an OCI registry, or a hash.
 *
 * @module
 */
import type { Hash } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { escapeText } from "../util/mod.ts";

/** Where a module comes from. */
export type ModuleReference =
  | {
    kind: "file";
    /** Path on this machine. */
    path: string;
    /** Hash that the content must have. @default {any} */
    digest?: Hash | undefined;
  }
  | { kind: "stdin"; digest?: Hash | undefined }
  | { kind: "hash"; digest: Hash }
  | {
    kind: "url";
    url: URL;
    digest?: Hash | undefined;
  }
  | {
    kind: "oci";
    /** Host of the registry's API, with its port unless it is the scheme's own. */
    registry: string;
    /** Name of the repository. */
    repository: string;
    /** Tag, or the digest of the manifest. */
    version: string;
    digest?: Hash | undefined;
  };

const HASH = /^sha256:[0-9a-f]{64}$/;

/** Name components of the OCI distribution specification, separated by slashes. */
const REPOSITORY =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;

const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** Longest reference, in characters. */
const MAX_REFERENCE_LENGTH = 4096;

/**
 * Parses `FILE`, `-`, `https://…`, `http://` to this machine, `oci://HOST/REPO[:TAG|@sha256:…]` or `sha256:…`. The
 * fragment `#sha256=…` pins the content of any of them.
 *
 * @throws {PlasmError} `usage`
 *
 * @example
 * ```ts ignore
 * parseReference("oci://ghcr.io/example/tool:1.2"); // { kind: "oci", registry: "ghcr.io", … }
 * ```
 */
export function parseReference(text: string): ModuleReference {
  if (text.length > MAX_REFERENCE_LENGTH) {
    throw refused(`${text.slice(0, 64)}…`, `it has more than ${MAX_REFERENCE_LENGTH} characters`);
  }
  const { base, digest } = splitPin(text);
  if (base === "") throw refused(text, "it has no name");
  if (base === "-") return { kind: "stdin", digest };
  if (base.startsWith("sha256:")) return parseHash(text, { base, digest });
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(base)?.[1]?.toLowerCase();
  if (scheme === undefined) return { kind: "file", path: base, digest };
  if (scheme === "oci") return parseOci(text, { base, digest });
  if (scheme === "https" || scheme === "http") return parseUrl(text, { base, digest });
  throw refused(text, `${scheme} is not supported`, "Use a file, https://, oci:// or sha256:");
}

interface Split {
  /** The reference without its pin. */
  base: string;
  digest: Hash | undefined;
}

function splitPin(text: string): Split {
  const at = text.lastIndexOf("#sha256=");
  if (at < 0) return { base: text, digest: undefined };
  const digest = `sha256:${text.slice(at + "#sha256=".length)}`;
  if (!HASH.test(digest)) {
    throw refused(text, "its pin is not #sha256= and 64 lowercase hex digits");
  }
  return { base: text.slice(0, at), digest };
}

function parseHash(text: string, { base, digest }: Split): ModuleReference {
  if (!HASH.test(base)) throw refused(text, "sha256: is not followed by 64 lowercase hex digits");
  if (digest !== undefined && digest !== base) throw refused(text, "its pin is another hash");
  return { kind: "hash", digest: base };
}

function parseUrl(text: string, { base, digest }: Split): ModuleReference {
  if (!URL.canParse(base)) throw refused(text, "it is not a valid URL");
  const url = new URL(base);
  if (url.username !== "" || url.password !== "") {
    throw refused(text, "it contains a user name or password");
  }
  if (url.hash !== "") throw refused(text, "its fragment is not #sha256=…");
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    throw refused(text, "http is allowed for this machine only", "Use https://");
  }
  return { kind: "url", url, digest };
}

function parseOci(text: string, { base, digest }: Split): ModuleReference {
  const [, host, path] = /^oci:\/\/([^/@]+)\/(.+)$/i.exec(base) ?? [];
  if (host === undefined || path === undefined || !URL.canParse(`https://${host}/`)) {
    throw refused(text, "it is not oci://HOST/REPO[:TAG|@sha256:…]");
  }
  const [, named, tag, manifest] = /^([^:@]+)(?::([^:@]+))?(?:@(sha256:.*))?$/.exec(path) ?? [];
  if (named === undefined || !REPOSITORY.test(named)) {
    throw refused(text, "the name of its repository is malformed");
  }
  if (tag !== undefined && !TAG.test(tag)) throw refused(text, "its tag is malformed");
  if (manifest !== undefined && !HASH.test(manifest)) {
    throw refused(text, "its digest is not sha256: and 64 lowercase hex digits");
  }
  const isDockerHub = host === "docker.io";
  return {
    kind: "oci",
    registry: isDockerHub ? "registry-1.docker.io" : host.toLowerCase(),
    repository: isDockerHub && !named.includes("/") ? `library/${named}` : named,
    version: manifest ?? tag ?? "latest",
    digest,
  };
}

/** Reports whether a host name is this machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "[::1]" ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

/** Name of a referenced program, for argv[0]; undefined if the reference contains none. */
export function programName(reference: ModuleReference): string | undefined {
  const path = reference.kind === "file"
    ? reference.path
    : reference.kind === "url"
    ? decode(reference.url.pathname)
    : reference.kind === "oci"
    ? reference.repository
    : "";
  const name = path.replace(/\/+$/, "").split("/").at(-1);
  return name === "" || name?.includes("\0") ? undefined : name;
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function refused(text: string, why: string, hint?: string): PlasmError {
  return new PlasmError("usage", `Cannot use module ${escapeText(text)}: ${why}`, {
    hint: hint ?? "Use FILE, -, https://…, oci://HOST/REPO[:TAG|@sha256:…] or sha256:…",
  });
}
