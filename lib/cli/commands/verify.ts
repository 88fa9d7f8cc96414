/**
 * The command `plasm verify`: verifies a receipt or a bundle, also by running its job again.
 *
 * @module
 */
import { differenceText, type Receipt, type RerunResult, verifyFiles } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { Command, OptionSpec, ParsedArgs } from "../command.ts";
import { namedInput } from "../host_files.ts";
import { endText, labelled, type Row, runRows } from "../receipt_text.ts";
import { REMOTE_OPTIONS } from "../remote_options.ts";
import { exec } from "./exec.ts";

/** Options that a receipt is compared with. */
const EXPECTED = [
  "key",
  "peer",
  "nonce",
  "module",
  "stdin",
  "stdout",
  "stderr",
  "manifest",
] as const;

/** Options of `plasm exec` that describe a new run; its options that do not apply are excluded. */
const EXCLUDED: ReadonlySet<string> = new Set([
  ...[
    "manifest",
    "receipt",
    "bundle",
    "daemon",
    "pipe",
    "peer",
    "live",
    "ticket",
    "force",
    "offline",
    "agree",
    "same-network",
    "arbitrate",
    "evidence",
  ],
]);

/** Help of options that a new run reads without writing anything. */
const RERUN_HELP: Readonly<Record<string, string>> = {
  output: "Return this file or directory, as the run did; it is compared and not written",
  dir: "Copy a directory into the job, as the run did; nothing comes back",
};

/** Maximum length of a printed difference, in characters: fits two hashes. */
const MAX_DIFFERENCE = 400;

const RERUN_OPTIONS: readonly OptionSpec[] = exec.spec.options
  .filter(({ name }) => !EXCLUDED.has(name))
  .map((option) => ({ ...option, help: RERUN_HELP[option.name] ?? option.help }));

/** `plasm verify` */
export const verify: Command = {
  spec: {
    name: "verify",
    summary: "Verify a receipt, also by running its job again",
    usage: "[OPTIONS] RECEIPT|BUNDLE|EVIDENCE [-- ARG…]",
    description:
      "Verifies the format, times and signatures of a receipt and that its peer id belongs to its key, and " +
      "compares it with each value that an option names. Anything missing or different fails with " +
      "status 76 and names the field. Without --key or --peer the signer is not verified. " +
      "A file named - is standard input.\n\n" +
      "--rerun runs the job again and compares the claims: reproduced (status 0), different (76, with the " +
      "first field and byte), or not reproducible, because the job depends on more than its inputs " +
      "(79, with the sources that it used, such as clock). A bundle of plasm exec --bundle has all that " +
      "is needed; with a receipt, repeat the options of the run, with --module and --stdin.\n\n" +
      "Evidence has receipts of one job that contradict each other, so that at least one is false. Status 0 " +
      "says that they do. --arbitrate runs the job again, here or with --remote --peer, and names the false " +
      "ones.",
    options: [
      {
        name: "key",
        kind: "string",
        placeholder: "HEX",
        help: "Require this public key of the node",
      },
      {
        name: "peer",
        kind: "string",
        placeholder: "ID",
        complete: { words: "peers" },
        help: "Require this peer id of the node; with --remote, run again on this peer",
      },
      { name: "nonce", kind: "string", placeholder: "HEX", help: "Require this nonce" },
      {
        name: "module",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Compare the module hash with this file",
      },
      {
        name: "stdin",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Compare the standard input hash with this file",
      },
      {
        name: "stdout",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Compare the standard output hash with this file",
      },
      {
        name: "stderr",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Compare the standard error hash with this file",
      },
      {
        name: "manifest",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Compare the manifest hash with this file",
      },
      { name: "rerun", kind: "flag", help: "Run the job again and compare the claims" },
      {
        name: "arbitrate",
        kind: "flag",
        help: "Run the job of evidence again and name the false receipts",
      },
      {
        name: "receipt",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Write the receipt of the new run to a file (with --rerun, default none)",
      },
      ...RERUN_OPTIONS,
    ],
    positionals: { min: 1, max: 1, complete: "file" },
    takesRest: true,
    examples: [
      {
        call: "plasm verify r.json --module hello.wasm --stdin in --stdout out",
        does: "Verify a run with its module, input and output",
      },
      {
        call: 'plasm verify r.json --key "$(plasm id --json | jq -r .public_key)"',
        does: "Verify that the daemon signed the receipt; with id --local, your own plasm exec",
      },
      {
        call: "plasm verify evidence.json --arbitrate --module hello.wasm --stdin in",
        does: "Verify that receipts contradict each other, and find the false ones",
      },
      {
        call: "plasm verify r.plasm --rerun",
        does: "Run the job of a bundle again and compare the claims",
      },
    ],
  },
  drops: (args) =>
    args.flag("rerun") || args.flag("arbitrate")
      ? args.flag("remote") ? ["run"] : ["net", "sys"]
      : ["net", "run", "sys", "write"],
  async run(args, io): Promise<number> {
    checkRerunOptions(args);
    const evidence = await import("../verify_evidence.ts");
    if (await evidence.isEvidenceFile(args.positionals[0]!)) {
      checkEvidenceOptions(args);
      return await evidence.verifyEvidenceFile(args.positionals[0]!, { args, io });
    }
    if (args.flag("arbitrate")) {
      throw new PlasmError("usage", "Cannot use --arbitrate without evidence", {
        hint: "Use --rerun to run the job of a receipt or a bundle again",
      });
    }
    const isRerun = args.flag("rerun");
    const isRemote = args.flag("remote");
    const path = args.positionals[0]!;
    const verified = await verifyFiles(path, {
      input: namedInput([path], io),
      key: args.string("key"),
      peerId: isRemote ? undefined : args.string("peer"),
      nonce: args.string("nonce"),
      module: args.string("module"),
      stdin: args.string("stdin"),
      stdout: args.string("stdout"),
      stderr: args.string("stderr"),
      manifest: isRerun ? undefined : args.string("manifest"),
      withContents: isRerun,
      signal: io.signal,
    });
    const { receipt } = verified;
    const checked = EXPECTED.filter((name) =>
      args.string(name) !== undefined && !(isRemote && name === "peer")
    );
    if (!isRerun) {
      await io.write(
        args.flag("json")
          ? `${JSON.stringify({ verified: true, checked, receipt })}\n`
          : labelled("receipt verified", report(receipt, args, checked)),
      );
      return 0;
    }
    if (verified.bundle !== undefined) checkBundleOptions(args);
    const { exitStatusOfRerun, rerunJob, rerunJson } = await import("../rerun_job.ts");
    const result = await rerunJob(verified, { args, io });
    await io.write(
      args.flag("json")
        ? `${JSON.stringify({ verified: true, checked, receipt, rerun: rerunJson(result) })}\n`
        : labelled("receipt verified", [
          ...report(receipt, args, checked),
          ...rerunRows(result, { receipt, args }),
        ]),
    );
    return exitStatusOfRerun(result);
  },
};

/** Rejects options of a new run without `--rerun`, and of a remote one without `--remote`. */
function checkRerunOptions(args: ParsedArgs): void {
  if (args.flag("rerun") || args.flag("arbitrate")) {
    const remote = ["socket", ...REMOTE_OPTIONS.map(({ name }) => name)].find((name) =>
      name !== "remote" && name !== "peer" && args.flag(name)
    );
    if (args.flag("remote") || remote === undefined) return;
    throw new PlasmError("usage", `Cannot use --${remote} without --remote`);
  }
  const given = ["receipt", ...RERUN_OPTIONS.map(({ name }) => name)].find((name) =>
    args.flag(name)
  );
  if (given !== undefined || args.rest !== undefined) {
    const option = given === undefined ? "arguments after --" : `--${given}`;
    throw new PlasmError("usage", `Cannot use ${option} without --rerun`);
  }
}

/** Rejects options that are about one receipt. */
function checkEvidenceOptions(args: ParsedArgs): void {
  const single = args.flag("arbitrate") ? ["rerun", "key", "nonce", "stdout", "stderr"] : [
    "rerun",
    ...EXPECTED,
  ];
  const given = single.find((name) => args.flag(name));
  if (given === undefined) return;
  throw new PlasmError("usage", `Cannot use --${given} with evidence, which has several receipts`, {
    hint: "Use --arbitrate --module FILE to run its job again",
  });
}

/** Rejects options that describe the job: a bundle has the job's manifest and inputs. */
function checkBundleOptions(args: ParsedArgs): void {
  const isRemote = (name: string): boolean => REMOTE_OPTIONS.some((option) => option.name === name);
  const given = ["manifest", ...RERUN_OPTIONS.map(({ name }) => name)].find((name) =>
    args.flag(name) && !isRemote(name) && name !== "socket"
  );
  if (given === undefined && args.rest === undefined) return;
  const option = given === undefined ? "arguments after --" : `--${given}`;
  throw new PlasmError("usage", `Cannot use ${option} with a bundle, which has the whole job`);
}

function report(receipt: Receipt, args: ParsedArgs, checked: readonly string[]): Row[] {
  const signer = args.string("key") ?? (args.flag("remote") ? undefined : args.string("peer"));
  const rows = runRows(receipt).filter(([label]) =>
    ["job", "node", "runtime", "finished", "used"].includes(label)
  );
  return [
    ["status", endText(receipt.claim)],
    ...rows.map(([label, value]): Row =>
      label === "node" && signer === undefined
        ? [label, `${value} (not verified, use --key or --peer)`]
        : [label, value]
    ),
    ["checked", ["signature", "attestation", "times", ...checked].join(", ")],
  ];
}

function rerunRows(
  result: RerunResult,
  { receipt, args }: { receipt: Receipt; args: ParsedArgs },
): Row[] {
  const { outcome, difference, byte, sources, receipt: again } = result;
  const names = { first: "the receipt", second: "the new run" };
  return [
    ["rerun", outcome.replace("-", " ")],
    ...difference === undefined ? [] : [
      ["differs", escapeText(differenceText(difference, names), MAX_DIFFERENCE)] as const,
      ...byte === undefined ? [] : [["byte", `${byte}, counted from 0`] as const],
    ],
    ...sources.length === 0 ? [] : [["sources", sources.join(", ")] as const],
    ...outcome === "different" ? architectureNote(receipt, again) : [],
    // The key of a new run on this machine is temporary unless its receipt is kept.
    ...again === undefined || !(args.flag("remote") || args.flag("receipt"))
      ? []
      : [["run by", again.run.node.peer_id] as const],
  ];
}

/** Explains how honest nodes of two architectures can differ. */
function architectureNote({ claim, run }: Receipt, again: Receipt | undefined): Row[] {
  const [first, second] = [run.runtime.arch, again?.run.runtime.arch];
  if (claim.profile !== "default" || second === undefined || first === second) return [];
  return [["note", `ran on ${first} and ${second}, whose NaN bits differ in the default profile`]];
}
