/**
 * The tools `verify_receipt` and `rerun`.
 *
 * @module
 */
import { fromJsonSchema, type McpServer } from "@modelcontextprotocol/server";
import { PlasmError } from "../core/errors/mod.ts";
import { parseManifest, parseReceipt, type Receipt, verifyReceipt } from "../core/mod.ts";
import { rerun } from "../sandbox/mod.ts";
import { argumentBytes, describeJob, JOB_PROPERTIES, type JobArguments } from "./job_arguments.ts";
import type { McpRunner } from "./runner.ts";
import { answer, callTool } from "./tool_result.ts";

interface ReceiptArguments extends JobArguments {
  receipt: Record<string, unknown>;
  manifest?: Record<string, unknown>;
  module?: string;
  key?: string;
  stdout?: string;
}

const RECEIPT_PROPERTY = {
  receipt: { type: "object", description: 'The receipt: _meta["plasm/receipt"] of a result' },
};

const { stdin, stdin_base64, inputs } = JOB_PROPERTIES;

/** Adds both tools. */
export function addReceiptTools(server: McpServer, runner: McpRunner): void {
  server.registerTool("verify_receipt", {
    title: "Verify a receipt",
    description:
      "Checks a receipt's signatures, and that it is about the module, manifest, input and output that are given. A " +
      "valid receipt proves what its node stated, not that the statement is true: rerun shows that.",
    inputSchema: fromJsonSchema<ReceiptArguments>({
      type: "object",
      additionalProperties: false,
      required: ["receipt"],
      properties: {
        ...RECEIPT_PROPERTY,
        key: { type: "string", description: "Public key that must have signed it, 64 hex digits" },
        manifest: { type: "object", description: "The manifest that it must be about" },
        module: { type: "string", description: "The module, as for run_module" },
        stdin,
        stdin_base64,
        stdout: { type: "string", description: "Standard output that it must be about" },
      },
    }),
    outputSchema: fromJsonSchema({
      type: "object",
      required: ["valid"],
      properties: {
        valid: { type: "boolean" },
        reason: { type: "string", description: "Why it is not valid" },
        claim: { type: "object" },
        run: { type: "object" },
      },
    }),
    annotations: { readOnlyHint: true, openWorldHint: false },
  }, (given, context) =>
    callTool(context, async (signal) => {
      try {
        const { claim, run } = await verify(runner, { given, signal });
        return answer({ valid: true, claim, run });
      } catch (error) {
        if (!(error instanceof PlasmError) || error.code !== "bad-receipt") throw error;
        return answer({ valid: false, reason: error.message });
      }
    }));

  server.registerTool("rerun", {
    title: "Repeat a run",
    description:
      "Runs the job of a receipt again on this machine and compares the claims: reproduced, different (one of the two " +
      "is false), or not-reproducible (the job used time, randomness or the like).",
    inputSchema: fromJsonSchema<ReceiptArguments>({
      type: "object",
      additionalProperties: false,
      required: ["receipt", "manifest", "module"],
      properties: {
        ...RECEIPT_PROPERTY,
        manifest: { type: "object", description: "The manifest of the result" },
        module: { type: "string", description: "The module, as for run_module" },
        stdin,
        stdin_base64,
        inputs,
      },
    }),
    outputSchema: fromJsonSchema({
      type: "object",
      required: ["outcome"],
      properties: {
        outcome: { type: "string", enum: ["reproduced", "different", "not-reproducible"] },
        difference: { type: "object", description: "First field of the claims that differs" },
        sources: { type: "array", items: { type: "string" } },
      },
    }),
    annotations: { readOnlyHint: true, openWorldHint: false },
  }, (given, context) =>
    callTool(context, async (signal) => {
      const { module } = await runner.readModule(given.module!, { signal });
      const job = await describeJob({ inputs: given.inputs ?? [] }, {
        allowed: runner.allowed,
        maxBytes: runner.ceilings.fs_bytes,
      });
      const { outcome, difference, sources, receipt } = await runner.withExecutor(
        signal,
        (executor) =>
          rerun(receiptOf(given), {
            manifest: parseManifest(JSON.stringify(given.manifest)),
            module,
            stdin: stdinOf(given),
            inputs: job.description.inputs,
            ceilings: runner.ceilings,
            signer: runner.signer,
            executor,
            signal,
          }),
      );
      return answer({
        outcome,
        ...(difference === undefined ? {} : { difference: { ...difference } }),
        sources: [...sources],
      }, { meta: receipt === undefined ? undefined : { "plasm/receipt": receipt } });
    }));
}

function receiptOf({ receipt }: ReceiptArguments): Receipt {
  return parseReceipt(JSON.stringify(receipt));
}

function stdinOf({ stdin, stdin_base64 }: JobArguments): Uint8Array {
  return argumentBytes({ text: stdin, base64: stdin_base64 });
}

async function verify(
  runner: McpRunner,
  { given, signal }: { given: ReceiptArguments; signal: AbortSignal },
): Promise<Receipt> {
  const { key, manifest, module, stdout } = given;
  const hasStdin = given.stdin !== undefined || given.stdin_base64 !== undefined;
  return await verifyReceipt(receiptOf(given), {
    ...(key === undefined ? {} : { key }),
    ...(manifest === undefined ? {} : { manifest: parseManifest(JSON.stringify(manifest)) }),
    ...(module === undefined
      ? {}
      : { module: (await runner.readModule(module, { signal })).module }),
    ...(hasStdin ? { stdin: stdinOf(given) } : {}),
    ...(stdout === undefined ? {} : { stdout: argumentBytes({ text: stdout }) }),
  });
}
