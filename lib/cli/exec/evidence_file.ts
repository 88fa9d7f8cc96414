/**
 * Writes receipts that contradict each other to one file.
 *
 * @module
 */
import { type Receipt, stateDir } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { type Evidence, evidenceOf, saveEvidence } from "../../quorum/mod.ts";
import type { ParsedArgs } from "../command.ts";
import { fileErrorReason, replaceFile } from "../host_files.ts";
import type { CliIo } from "../io.ts";

/**
 * Writes evidence to `--evidence`, or to the state directory.
 *
 * @returns The path; undefined if no two receipts contradict each other
 * @throws {PlasmError} `state`, `interrupted`
 */
export async function writeEvidence(
  receipts: readonly Receipt[],
  { args, io }: { args: ParsedArgs; io: CliIo },
): Promise<string | undefined> {
  const evidence = await evidenceOf(receipts);
  if (evidence === undefined) return undefined;
  const path = args.string("evidence");
  if (path === undefined) return await saveEvidenceIn(evidence, io);
  const text = new TextEncoder().encode(`${JSON.stringify(evidence)}\n`);
  await replaceFile(path, [text], { kind: "evidence", signal: io.signal });
  return path;
}

/**
 * Writes evidence to the state directory. Returns its path.
 *
 * @throws {PlasmError} `state`
 */
export async function saveEvidenceIn(evidence: Evidence, io: CliIo): Promise<string> {
  try {
    return await saveEvidence(stateDir((name) => io.env(name)), evidence);
  } catch (cause) {
    throw new PlasmError("state", `Cannot write evidence: ${fileErrorReason(cause)}`, {
      hint: "Use --evidence FILE",
      cause,
    });
  }
}
