/**
 * The file of `--ticket`: what a client that was killed needs to go on with its job.
 * @module
 */
import { manifestHash, readStateFile, writeStateFile } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import type { RemoteJob, ResumeTicket } from "../remote/client/mod.ts";

/** A ticket, and where its node was when it was given. */
export interface KeptTicket {
  ticket: ResumeTicket;
  /** A multiaddr that ends with the node's peer id, where it is known. */
  address: string | null;
}

/** What the job must be for which a ticket is used. */
interface Binding {
  manifest_hash: string;
  stdin_hash: string;
}

const TEXTS = ["peerId", "jobId", "secret", "nodeNonce", "nonce"] as const;

async function bindingOf({ manifest, stdin }: RemoteJob): Promise<Binding> {
  return { manifest_hash: await manifestHash(manifest), stdin_hash: stdin.hash };
}

/**
 * Reads the ticket of a job; undefined where there is no file.
 *
 * @throws {PlasmError} `usage` when the file is of another job or no ticket at all
 */
export async function readTicket(path: string, job: RemoteJob): Promise<KeptTicket | undefined> {
  let value: unknown;
  try {
    value = await readStateFile(path);
  } catch (error) {
    throw refusal(path, error instanceof Error ? error.message : String(error));
  }
  if (value === undefined) return undefined;
  const file = recordOf(value) as Partial<KeptTicket & Binding>;
  const ticket = recordOf(file.ticket) as Partial<ResumeTicket>;
  const isWhole = TEXTS.every((name) => typeof ticket[name] === "string") &&
    Number.isSafeInteger(ticket.offeredAt) &&
    (file.address === null || typeof file.address === "string");
  if (!isWhole) throw refusal(path, "it is no ticket");
  const binding = await bindingOf(job);
  for (const field of ["manifest_hash", "stdin_hash"] as const) {
    if (file[field] !== binding[field]) {
      throw refusal(path, `it is of another job, whose ${field} is ${file[field]}`);
    }
  }
  return { ticket: ticket as ResumeTicket, address: file.address ?? null };
}

function recordOf(value: unknown): object {
  return typeof value === "object" && value !== null ? value : {};
}

function refusal(path: string, why: string): PlasmError {
  return new PlasmError("usage", `Cannot use --ticket ${path}: ${why}`, {
    hint: "Give the module, options and input that it was written for, or another file",
  });
}

/**
 * Writes a ticket, whole and for its owner only: who has it may take the job's output.
 *
 * @throws {PlasmError} `state`
 */
export async function writeTicket(path: string, kept: KeptTicket, job: RemoteJob): Promise<void> {
  try {
    await writeStateFile(path, { ...kept, ...await bindingOf(job) });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new PlasmError("state", `Cannot write ${path}: ${why}`, { cause: error });
  }
}

/** Deletes a ticket that is of no more use. */
export async function removeTicket(path: string): Promise<void> {
  await Deno.remove(path).catch(() => {}); // none was written, or somebody else has deleted it
}
