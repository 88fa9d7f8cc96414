/**
 * Reads and writes the resume ticket of `plasm exec --ticket`.
 *
 * @module
 */
import { manifestHash, readStateFile, writeStateFile } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { RemoteJob, ResumeTicket } from "../../remote/client/mod.ts";

/** A ticket and the address of its node. */
export interface SavedTicket {
  ticket: ResumeTicket;
  /** A multiaddr that ends with the node's peer id; null if unknown. */
  address: string | null;
}

/** Identifies the job of a ticket. */
interface Binding {
  manifest_hash: string;
  stdin_hash: string;
}

const TEXTS = ["peerId", "jobId", "secret", "nodeNonce", "nonce"] as const;

async function bindingOf({ manifest, stdin }: RemoteJob): Promise<Binding> {
  return { manifest_hash: await manifestHash(manifest), stdin_hash: stdin.hash };
}

/**
 * Reads the ticket of a job.
 *
 * @returns `undefined` if there is no file
 * @throws {PlasmError} `usage` if the file is not a ticket or belongs to another job
 */
export async function readTicket(path: string, job: RemoteJob): Promise<SavedTicket | undefined> {
  let value: unknown;
  try {
    value = await readStateFile(path);
  } catch (error) {
    throw refusal(path, error instanceof Error ? error.message : String(error));
  }
  if (value === undefined) return undefined;
  const file = recordOf(value) as Partial<SavedTicket & Binding>;
  const ticket = recordOf(file.ticket) as Partial<ResumeTicket>;
  const isTicket = TEXTS.every((name) => typeof ticket[name] === "string") &&
    Number.isSafeInteger(ticket.offeredAt) &&
    (file.address === null || typeof file.address === "string");
  if (!isTicket) throw refusal(path, "it is not a ticket");
  const binding = await bindingOf(job);
  for (const field of ["manifest_hash", "stdin_hash"] as const) {
    if (file[field] !== binding[field]) {
      throw refusal(path, `it belongs to another job, whose ${field} is ${file[field]}`);
    }
  }
  return { ticket: ticket as ResumeTicket, address: file.address ?? null };
}

function recordOf(value: unknown): object {
  return typeof value === "object" && value !== null ? value : {};
}

function refusal(path: string, why: string): PlasmError {
  return new PlasmError("usage", `Cannot use --ticket ${path}: ${why}`, {
    hint: "Use the module, options and input of the ticket's job, or another file",
  });
}

/**
 * Writes a ticket atomically, readable by its owner only: it grants access to the job's output.
 *
 * @throws {PlasmError} `state`
 */
export async function writeTicket(path: string, saved: SavedTicket, job: RemoteJob): Promise<void> {
  try {
    await writeStateFile(path, { ...saved, ...await bindingOf(job) });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new PlasmError("state", `Cannot write ${path}: ${why}`, { cause: error });
  }
}

/** Deletes a ticket. A missing file is not an error. */
export async function removeTicket(path: string): Promise<void> {
  await Deno.remove(path).catch(() => {});
}
