/**
 * The command `plasm receipt`: prints receipts, and exchanges claims with other tools as DSSE envelopes.
 *
 * @module
 */
import { createEnvelope, type Receipt, verifyEnvelopeFile, verifyFiles } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { Command, OptionSpec, ParsedArgs } from "../command.ts";
import type { CliIo } from "../io.ts";
import { namedInput } from "../host_files.ts";
import { claimRows, labelled, type Row, runRows } from "../receipt_text.ts";

interface Context {
  args: ParsedArgs;
  io: CliIo;
}

/** Maximum number of receipts of one envelope. */
const MAX_RECEIPTS = 256;

/** Files that `import` compares, and what of the claim they are compared with. */
const FILE_TEXTS = {
  module: "module hash",
  stdin: "standard input hash",
  stdout: "standard output",
  stderr: "standard error",
  manifest: "manifest hash",
} as const;

const IMPORT_FILES = Object.keys(FILE_TEXTS) as (keyof typeof FILE_TEXTS)[];

/** Formats of `export`. */
const FORMATS = ["in-toto"] as const;

/** Actions by name. Each resolves to the exit status. */
const ACTIONS: Readonly<Record<string, (paths: string[], context: Context) => Promise<number>>> = {
  show: showReceipt,
  export: exportEnvelope,
  import: importEnvelope,
  evidence: exportEvidence,
};

/** `plasm receipt` */
export const receipt: Command = {
  spec: {
    name: "receipt",
    summary: "Print a receipt, or exchange it with other tools",
    usage: "[OPTIONS] show|export|import|evidence FILE…",
    description:
      "show: verifies a receipt or a bundle and prints it. export: writes the claim of a receipt, signed " +
      "by its node, as a DSSE envelope with an in-toto statement, which in-toto tools verify; " +
      "several receipts with the same claim become one envelope with one signature of each node, and " +
      "receipts with different claims fail with status 76. import: verifies such an envelope and prints " +
      "its claim and its signers. Anyone can sign a claim: --key or --peer names a signer that you trust. " +
      "evidence: writes receipts of one job that contradict each other, by different nodes or by one that returned " +
      "different results, as evidence for plasm verify. FILE is - for standard input.",
    options: [
      {
        name: "format",
        kind: "string",
        placeholder: "NAME",
        complete: FORMATS,
        help: "Export in this format (with export, default in-toto, the only one)",
        actions: ["export"],
      },
      {
        name: "key",
        kind: "string",
        placeholder: "HEX",
        repeat: true,
        help: "Require a signature with this public key (with import, default none)",
        actions: ["import"],
      },
      {
        name: "peer",
        kind: "string",
        placeholder: "ID",
        repeat: true,
        help: "Require a signature of this peer id (with import, default none)",
        actions: ["import"],
      },
      ...IMPORT_FILES.map((name): OptionSpec => ({
        name,
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: `Compare the claim's ${FILE_TEXTS[name]} with this file (with import, default none)`,
        actions: ["import"],
      })),
    ],
    positionals: {
      min: 2,
      max: 1 + MAX_RECEIPTS,
      actions: Object.keys(ACTIONS),
      complete: "file",
    },
    examples: [
      { call: "plasm receipt show r.json", does: "Print a receipt" },
      {
        call: "plasm receipt export r.json > envelope.json",
        does: "Write an envelope for in-toto tools",
      },
      {
        call: "plasm receipt evidence a.json b.json > evidence.json",
        does: "Write two receipts that contradict each other to one file",
      },
      {
        call: "plasm receipt export r.json | plasm receipt import -",
        does: "Verify an envelope as it is written",
      },
      {
        call: "plasm receipt import envelope.json --stdout out",
        does: "Verify an envelope and that its claim is about this output",
      },
    ],
  },
  drops: () => ["net", "run", "sys", "write"],
  async run(args, io): Promise<number> {
    const [name = "", ...paths] = args.positionals;
    const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
    if (action === undefined) {
      throw new PlasmError("usage", `Unknown argument: ${escapeText(name)}`, {
        hint: `Use one of ${Object.keys(ACTIONS).join(", ")}`,
      });
    }
    checkOptions(name, { args, io });
    return await action(paths, { args, io });
  },
};

/** Rejects formats that are not known and files that an action does not use. */
function checkOptions(action: string, { args }: Context): void {
  const format = args.string("format");
  if (format !== undefined && !FORMATS.some((known) => known === format)) {
    throw new PlasmError("usage", `Cannot use --format ${escapeText(format)}: unknown format`, {
      hint: `Use one of ${FORMATS.join(", ")}`,
    });
  }
  const unused = args.positionals[2];
  if (!["export", "evidence"].includes(action) && unused !== undefined) {
    throw new PlasmError("usage", `Unexpected argument: ${escapeText(unused)}`, {
      hint: `plasm receipt ${action} reads one file`,
    });
  }
}

async function showReceipt([path]: string[], { args, io }: Context): Promise<number> {
  const { receipt } = await verifyFiles(path!, {
    input: namedInput([path!], io),
    signal: io.signal,
  });
  await io.write(
    args.flag("json")
      ? `${JSON.stringify(receipt)}\n`
      : labelled("receipt verified", [...claimRows(receipt.claim), ...runRows(receipt)]),
  );
  return 0;
}

async function readReceipts(paths: readonly string[], { io }: Context): Promise<Receipt[]> {
  const receipts: Receipt[] = [];
  const input = namedInput(paths, io);
  for (const path of paths) {
    const { receipt } = await verifyFiles(path, { input, signal: io.signal });
    receipts.push(receipt);
  }
  return receipts;
}

async function exportEnvelope(paths: string[], context: Context): Promise<number> {
  const envelope = await createEnvelope(await readReceipts(paths, context));
  await context.io.write(`${JSON.stringify(envelope)}\n`);
  return 0;
}

async function exportEvidence(paths: string[], context: Context): Promise<number> {
  const { createEvidence } = await import("../../quorum/mod.ts");
  const evidence = await createEvidence(await readReceipts(paths, context));
  await context.io.write(`${JSON.stringify(evidence)}\n`);
  return 0;
}

async function importEnvelope([path]: string[], { args, io }: Context): Promise<number> {
  const expected = [...args.strings("key"), ...args.strings("peer")];
  const { claim, signers } = await verifyEnvelopeFile(path!, {
    input: namedInput([path!], io),
    signers: expected,
    module: args.string("module"),
    stdin: args.string("stdin"),
    stdout: args.string("stdout"),
    stderr: args.string("stderr"),
    manifest: args.string("manifest"),
    signal: io.signal,
  });
  if (args.flag("json")) {
    const names = signers.map(({ publicKey, peerId }) => ({
      public_key: publicKey,
      peer_id: peerId,
    }));
    await io.write(`${JSON.stringify({ verified: true, claim, signers: names })}\n`);
    return 0;
  }
  const known = (signer: { publicKey: string; peerId: string }): boolean =>
    expected.includes(signer.publicKey) || expected.includes(signer.peerId);
  const rows = signers.map((signer): Row => [
    "signer",
    known(signer) ? signer.peerId : `${signer.peerId} (not verified, use --key or --peer)`,
  ]);
  await io.write(labelled("envelope verified", [...claimRows(claim), ...rows]));
  return 0;
}
