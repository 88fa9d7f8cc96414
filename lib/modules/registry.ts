/**
 * Pulls modules from OCI registries (OCI distribution specification 1.1).
 *
 * @module
 */
import { type Env, type Hash, isHash, parseJson, sha256 } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { escapeText } from "../util/mod.ts";
import type { Downloaded, Downloader, DownloadProgress } from "./download.ts";
import { isLoopback, type ModuleReference } from "./reference.ts";
import { authorize, readCredentials } from "./registry_credentials.ts";

/** Maximum size of a manifest, in bytes: that of the distribution specification. */
const MAX_MANIFEST_BYTES = 4 * 2 ** 20;

/** Most entries of an index that are read. */
const MAX_ENTRIES = 1000;

const IMAGE = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];

const INDEX = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];

/** Layers that are modules: those of wkg and ORAS, and those of wasm-to-oci. */
const MODULE_LAYERS = ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm"];

/** Architectures by which an index names WebAssembly. */
const WASM_ARCHITECTURES = ["wasm", "wasm32"];

/** Entry of an index or layer of an image. */
interface Descriptor {
  mediaType: string;
  digest: Hash;
  size: number;
  title: string;
  architecture: string | undefined;
  artifactType: string;
}

/** Options of {@linkcode pullModule}. */
export interface PullOptions {
  downloader: Downloader;
  /** Most bytes of the module. */
  maxBytes: number;
  /** Looks up environment variables, for Docker's configuration. */
  env: Env;
  /** Returns a module that is known already, so that it is not downloaded. */
  known: (digest: Hash) => Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Called with each piece of the module. @default {nothing} */
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Aborts the download. @default {never} */
  signal?: AbortSignal | undefined;
}

/**
 * Pulls the module of an artifact; all digests are verified.
 *
 * @throws {PlasmError} `bad-module` without a module, or as {@linkcode Downloader.get}
 */
export async function pullModule(
  reference: Extract<ModuleReference, { kind: "oci" }>,
  options: PullOptions,
): Promise<{ digest: Hash; content: Uint8Array<ArrayBuffer> }> {
  const registry = new Registry(reference, options);
  const layer = await registry.moduleLayer(reference.version);
  const known = await options.known(layer.digest);
  if (known !== undefined) return { digest: layer.digest, content: known };
  if (layer.size > options.maxBytes) {
    throw new PlasmError(
      "too-large",
      `Cannot pull ${registry.name}: its module has ${layer.size} bytes, ${options.maxBytes} are allowed`,
      { details: { allowed: options.maxBytes } },
    );
  }
  return { digest: layer.digest, content: await registry.blob(layer) };
}

/** Requests to one repository. */
class Registry {
  /** The reference, printable. */
  readonly name: string;
  readonly #base: URL;
  readonly #repository: string;
  readonly #options: PullOptions;
  #authorization: string | undefined;

  constructor(reference: Extract<ModuleReference, { kind: "oci" }>, options: PullOptions) {
    const { registry, repository, version } = reference;
    const separator = version.includes(":") ? "@" : ":";
    this.name = escapeText(`oci://${registry}/${repository}${separator}${version}`);
    const isLocal = isLoopback(new URL(`http://${registry}`).hostname);
    this.#base = new URL(`${isLocal ? "http" : "https"}://${registry}/v2/${repository}/`);
    this.#repository = repository;
    this.#options = options;
  }

  /** Finds the layer that is a module, through an index if there is one. */
  async moduleLayer(version: string): Promise<Descriptor> {
    const manifest = await this.#manifest(version);
    if (manifest["manifests"] === undefined) return this.#layerOf(manifest);
    const entries = descriptors(manifest["manifests"]);
    const entry =
      entries.find(({ architecture = "" }) => WASM_ARCHITECTURES.includes(architecture)) ??
        entries.find(({ artifactType }) => artifactType.includes("wasm"));
    if (entry === undefined) {
      const found = entries.map(({ architecture }) => architecture ?? "unknown").join(", ");
      throw this.#noModule(`its index has no entry for wasm, but ${escapeText(found) || "none"}`);
    }
    return this.#layerOf(await this.#manifest(entry.digest));
  }

  #layerOf(manifest: Record<string, unknown>): Descriptor {
    const layers = descriptors(manifest["layers"]);
    const modules = layers.filter(({ mediaType, title }) =>
      MODULE_LAYERS.includes(mediaType) || title.endsWith(".wasm")
    );
    const [layer, another] = modules;
    if (layer === undefined) {
      const found = layers.map(({ mediaType }) => mediaType).join(", ");
      throw this.#noModule(`no layer is a module; its layers are ${escapeText(found) || "none"}`);
    }
    if (another !== undefined) {
      throw this.#noModule(`${modules.length} of its layers are modules, where one is expected`);
    }
    return layer;
  }

  #noModule(why: string): PlasmError {
    return new PlasmError("bad-module", `Cannot pull ${this.name}: ${why}`, {
      hint: "Push a module with wkg oci push, or oras push REFERENCE module.wasm:application/wasm",
    });
  }

  async #manifest(version: string): Promise<Record<string, unknown>> {
    const { content } = await this.#get(`manifests/${version}`, {
      maxBytes: MAX_MANIFEST_BYTES,
      accept: [...IMAGE, ...INDEX].join(", "),
    });
    if (isHash(version)) await this.#verify(content, version);
    const manifest = parseJson(content, {
      maxBytes: MAX_MANIFEST_BYTES,
      code: "protocol",
      what: "manifest of the registry",
    });
    if (typeof manifest === "object" && manifest !== null && !Array.isArray(manifest)) {
      return manifest as Record<string, unknown>;
    }
    throw new PlasmError("protocol", `Cannot pull ${this.name}: its manifest is not an object`);
  }

  /** Downloads and verifies a layer. */
  async blob({ digest }: Descriptor): Promise<Uint8Array<ArrayBuffer>> {
    const { maxBytes, onProgress } = this.#options;
    const { content } = await this.#get(`blobs/${digest}`, { maxBytes, onProgress });
    await this.#verify(content, digest);
    return content;
  }

  async #verify(content: Uint8Array, digest: Hash): Promise<void> {
    const actual = await sha256(content);
    if (actual === digest) return;
    throw new PlasmError(
      "protocol",
      `Cannot pull ${this.name}: the registry names ${digest} and sent ${actual}`,
      { details: { expected: digest, actual } },
    );
  }

  async #get(
    path: string,
    { accept, ...options }: {
      maxBytes: number;
      accept?: string;
      onProgress?: PullOptions["onProgress"];
    },
  ): Promise<Downloaded> {
    const { downloader, env, signal } = this.#options;
    const url = new URL(path, this.#base);
    const request = (): Promise<Downloaded> =>
      downloader.get(url, {
        ...options,
        headers: {
          ...(accept === undefined ? {} : { accept }),
          ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }),
        },
        accept: this.#authorization === undefined ? [401] : [],
        signal,
      });
    const first = await request();
    if (first.status !== 401) return first;
    this.#authorization = await authorize({
      challenge: first.headers.get("www-authenticate") ?? "",
      url,
      credentials: await readCredentials(this.#base.host, env),
      scope: `repository:${this.#repository}:pull`,
      downloader,
      signal,
    });
    return await request();
  }
}

/** Well-formed descriptors of a list; others are left out. */
function descriptors(list: unknown): Descriptor[] {
  if (!Array.isArray(list)) return [];
  return list.slice(0, MAX_ENTRIES).flatMap((entry: unknown) => {
    if (typeof entry !== "object" || entry === null) return [];
    const { mediaType, digest, size, annotations, platform, artifactType } = entry as Record<
      string,
      unknown
    >;
    if (typeof mediaType !== "string" || !isHash(digest) || !Number.isSafeInteger(size)) return [];
    return [{
      mediaType,
      digest,
      size: Number(size),
      title: text(annotations, "org.opencontainers.image.title") ?? "",
      architecture: text(platform, "architecture"),
      artifactType: typeof artifactType === "string" ? artifactType : "",
    }];
  });
}

function text(value: unknown, name: string): string | undefined {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  const found = (value as Record<string, unknown>)[name];
  return typeof found === "string" ? found : undefined;
}
