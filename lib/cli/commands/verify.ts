/**
 * `plasm verify`.
 * @module
 */
import { type Receipt, verifyReceiptFiles } from "../../core/mod.ts";
import type { Command, ParsedArgs } from "../command.ts";

const GIVEN = ["key", "peer", "nonce", "module", "stdin", "stdout", "stderr", "manifest"] as const;

/** The command. */
export const verify: Command = {
  spec: {
    name: "verify",
    summary: "Verify a receipt",
    usage: "[OPTIONS] RECEIPT",
    description:
      "Checks a receipt's form, times and signature and that its peer id follows from its key, then " +
      "each thing given against it. Anything missing or different fails with status 76 and names " +
      "the field. Without --key or --peer it is shown that the receipt is whole, not who signed it.",
    options: [
      { name: "key", kind: "string", placeholder: "HEX", help: "The node's public key" },
      { name: "peer", kind: "string", placeholder: "ID", help: "The node's peer id" },
      { name: "nonce", kind: "string", placeholder: "HEX", help: "The nonce that was sent" },
      {
        name: "module",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "The module that should have run",
      },
      {
        name: "stdin",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "The standard input that was sent",
      },
      {
        name: "stdout",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "The standard output received",
      },
      {
        name: "stderr",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "The standard error received",
      },
      {
        name: "manifest",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "The manifest that was sent",
      },
    ],
    positionals: { min: 1, max: 1, complete: "file" },
    examples: [
      {
        call: "plasm verify r.json --module hello.wasm --stdin in --stdout out",
        does: "Check a run against all that went in and came out",
      },
      {
        call: 'plasm verify r.json --key "$(plasm id --json | jq -r .public_key)"',
        does: "Check that this node signed it",
      },
    ],
  },
  drops: () => ["net", "run", "sys", "write"],
  async run(args, io): Promise<number> {
    const receipt = await verifyReceiptFiles(args.positionals[0]!, {
      key: args.string("key"),
      peerId: args.string("peer"),
      nonce: args.string("nonce"),
      module: args.string("module"),
      stdin: args.string("stdin"),
      stdout: args.string("stdout"),
      stderr: args.string("stderr"),
      manifest: args.string("manifest"),
      signal: io.signal,
    });
    const checked = GIVEN.filter((name) => args.string(name) !== undefined);
    await io.write(
      args.flag("json")
        ? `${JSON.stringify({ verified: true, checked, receipt })}\n`
        : report(receipt, args, checked),
    );
    return 0;
  },
};

function report(receipt: Receipt, args: ParsedArgs, checked: readonly string[]): string {
  const { usage, runtime, node } = receipt;
  const exit = receipt.exit_code === null ? "" : ` with code ${receipt.exit_code}`;
  const signer = args.string("key") ?? args.string("peer");
  return [
    "receipt verified",
    `job       ${receipt.job_id}`,
    `status    ${receipt.status}${exit}`,
    `node      ${node.peer_id}${
      signer === undefined ? " (not checked: give --key or --peer)" : ""
    }`,
    `runtime   ${runtime.name} ${runtime.version}, ${runtime.engine}, ${runtime.arch}`,
    `finished  ${receipt.finished_at}`,
    `used      ${usage.wall_time_ms} ms wall, ${usage.cpu_time_ms} ms CPU, ${usage.memory_peak_bytes} bytes`,
    `checked   ${["signature", "times", ...checked].join(", ")}`,
    "",
  ].join("\n");
}
