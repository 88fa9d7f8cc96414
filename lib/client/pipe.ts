/**
 * Piped run: standard input and output of a job pass through one connection; see schemas/openapi.json.
 * @module
 */
import { type JobJson, PIPE_PROTOCOL, PipeConn, PipeFrame } from "../api/mod.ts";
import { createManifest, createNonce, Hasher, type Receipt, verifyReceipt } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import type { JobSubmission, SubmitOptions } from "./submission.ts";
import { type PipeInput, PipeSender } from "./pipe_sender.ts";
import type { DaemonTransport } from "./daemon_transport.ts";

/** Options of {@linkcode DaemonClient.pipe}. */
export interface PipeOptions extends Omit<SubmitOptions, "stdin" | "target"> {
  /** Standard input, read as the job consumes it. @default {empty} */
  stdin?: PipeInput | undefined;
}

/**
 * Events of a piped job, in order; `finished` follows the verification of the receipt. `data` is overwritten when the next event
 * is requested: copy it to keep it.
 */
export type PipeEvent =
  | { type: "accepted"; id: string }
  | { type: "started" }
  | { type: "stdout"; data: Uint8Array }
  | { type: "stderr"; data: Uint8Array }
  | { type: "finished"; job: JobJson; receipt: Receipt };

/** Options of {@linkcode runPiped}. */
export interface RunPipedOptions {
  stdin: PipeOptions["stdin"];
  /** The daemon's public key, in hex. */
  key: string;
  signal?: AbortSignal | undefined;
}

interface Result {
  job: JobJson;
  receipt: Receipt | null;
}

function parse<T>(payload: Uint8Array | undefined): T {
  if (payload === undefined) throw new Deno.errors.UnexpectedEof("the connection ended");
  try {
    return JSON.parse(new TextDecoder().decode(payload));
  } catch {
    throw new PlasmError("protocol", "Cannot read frame: it is not JSON");
  }
}

/** Runs a job; see {@linkcode DaemonClient.pipe}. */
export async function* runPiped(
  transport: DaemonTransport,
  submission: JobSubmission,
  options: RunPipedOptions,
): AsyncGenerator<PipeEvent, void, void> {
  const { nonce = createNonce() } = submission;
  const manifest = createManifest(submission.manifest);
  const over = new AbortController();
  const signal = AbortSignal.any([over.signal, ...(options.signal ? [options.signal] : [])]);
  const { conn, headers, rest } = await transport.upgrade("/v1/pipe", {
    json: { ...submission, manifest, nonce },
    protocol: PIPE_PROTOCOL,
    signal,
  });
  const pipe = new PipeConn(conn, { before: rest });
  const sender = new PipeSender(pipe, options.stdin);
  const measured = { stdout: new Hasher(), stderr: new Hasher() };
  const id = headers.get("location")?.split("/").at(-1) ?? "";
  try {
    yield { type: "accepted", id };
    while (true) {
      const header = await pipe.next();
      if (header === undefined) throw new Deno.errors.UnexpectedEof("the connection ended");
      const { kind, length } = header;
      if (kind === PipeFrame.Stdout || kind === PipeFrame.Stderr) {
        const type = kind === PipeFrame.Stdout ? "stdout" : "stderr";
        for (let left = length; left > 0;) {
          const data = await pipe.part();
          if (data === undefined) throw new Deno.errors.UnexpectedEof("the connection ended");
          left -= data.length;
          await measured[type].update(data);
          yield { type, data: data.subarray() };
          data.release();
        }
      } else if (kind === PipeFrame.Started) {
        sender.start();
        yield { type: "started" };
      } else if (kind === PipeFrame.StdinStop) {
        sender.stop();
      } else if (kind === PipeFrame.Failed) {
        throw PlasmError.fromJSON(parse<{ error: unknown }>(await pipe.payload(header)).error);
      } else if (kind === PipeFrame.Result) {
        const { job, receipt } = parse<Result>(await pipe.payload(header));
        if (job.error !== null) throw PlasmError.fromJSON(job.error);
        const measure = async (hasher: Hasher): Promise<{ bytes: number; hash: string }> => ({
          bytes: hasher.bytes,
          hash: await hasher.digest(),
        });
        const verified = await verifyReceipt(receipt, {
          key: options.key,
          jobId: id,
          nonce,
          manifest,
          stdin: await sender.hash(),
          stdout: await measure(measured.stdout),
          stderr: await measure(measured.stderr),
        });
        return yield { type: "finished", job, receipt: verified };
      } else throw new PlasmError("protocol", `Cannot take frame: kind ${kind}`);
    }
  } catch (error) {
    // An error of the input source takes precedence over its consequences.
    throw sender.fault ?? transport.lost(error, options.signal);
  } finally {
    over.abort("over");
    sender.close();
    pipe.close();
  }
}
