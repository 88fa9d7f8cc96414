/**
 * Keeps what recent jobs wrote, so that an agent can read it as resources.
 *
 * @module
 */

/** Scheme and authority of the resources. */
const PREFIX = "plasm://jobs/";

/** Most bytes that are kept; the oldest jobs make room. */
export const MAX_KEPT_BYTES: number = 256 * 2 ** 20;

/** Most jobs whose results are kept. */
const MAX_KEPT_JOBS = 1000;

/** A result that can be read as a resource. */
export interface StoredResult {
  uri: string;
  /** `stdout`, `stderr`, or `outputs/` and the path of an output file. */
  name: string;
  data: Uint8Array;
}

/** Results of the latest jobs, in memory. */
export class ResultStore {
  readonly #jobs = new Map<string, Map<string, Uint8Array>>();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor({ maxBytes = MAX_KEPT_BYTES }: { maxBytes?: number } = {}) {
    this.#maxBytes = maxBytes;
  }

  /** Adds a job's results by name, and removes the oldest jobs beyond the limits. */
  add(jobId: string, results: ReadonlyMap<string, Uint8Array>): void {
    this.#jobs.set(jobId, new Map(results));
    this.#bytes += sizeOf(results);
    for (const [id, old] of this.#jobs) {
      if (this.#bytes <= this.#maxBytes && this.#jobs.size <= MAX_KEPT_JOBS) break;
      this.#bytes -= sizeOf(old);
      this.#jobs.delete(id);
    }
  }

  /** All results, oldest job first. */
  *list(): Generator<StoredResult, void, void> {
    for (const [jobId, results] of this.#jobs) {
      for (const [name, data] of results) yield { uri: resultUri(jobId, name), name, data };
    }
  }

  /** The result of a URI; undefined if it is not kept, or not any more. */
  get(uri: string): StoredResult | undefined {
    if (!uri.startsWith(PREFIX)) return undefined;
    const path = uri.slice(PREFIX.length);
    const slash = path.indexOf("/");
    if (slash < 0) return undefined;
    const [jobId, encoded] = [path.slice(0, slash), path.slice(slash + 1)];
    let name: string;
    try {
      name = decodeURIComponent(encoded);
    } catch {
      return undefined;
    }
    const data = this.#jobs.get(jobId)?.get(name);
    return data === undefined ? undefined : { uri, name, data };
  }
}

/** URI of a job's result. */
export function resultUri(jobId: string, name: string): string {
  return `${PREFIX}${jobId}/${name.split("/").map(encodeURIComponent).join("/")}`;
}

function sizeOf(results: ReadonlyMap<string, Uint8Array>): number {
  let bytes = 0;
  for (const data of results.values()) bytes += data.length;
  return bytes;
}
