/**
 * Results of tools: structured content, the same as text, and errors that a model can act on.
 *
 * @module
 */
import type { CallToolResult, ServerContext } from "@modelcontextprotocol/server";
import { errorOf } from "../core/errors/mod.ts";

/** Interval of reports, in milliseconds. */
const INTERVAL_MS = 1000;

/** Options of {@linkcode answer}. */
export interface AnswerOptions {
  /** Metadata of the result, such as the receipt. @default {none} */
  meta?: Record<string, unknown> | undefined;
  /** Further content, such as links to output files. @default {none} */
  content?: CallToolResult["content"] | undefined;
}

/** A result with structured content, and the same as JSON text for clients that know only text. */
export function answer(
  structured: Record<string, unknown>,
  { meta, content = [] }: AnswerOptions = {},
): CallToolResult {
  return {
    structuredContent: structured,
    content: [{ type: "text", text: JSON.stringify(structured) }, ...content],
    ...(meta === undefined ? {} : { _meta: meta }),
  };
}

/**
 * Calls a tool; an error becomes a result with its code, hint and figures. The call reports progress every second if
 * the client asked for it, and ends when the client cancels it.
 */
export async function callTool(
  context: ServerContext,
  call: (signal: AbortSignal) => Promise<CallToolResult>,
): Promise<CallToolResult> {
  const { signal } = context.mcpReq;
  using _progress = reportProgress(context);
  try {
    return await call(signal);
  } catch (error) {
    return { isError: true, ...answer({ error: errorOf(error, signal).toJSON() }) };
  }
}

/** Sends the seconds since the start of a call, every second, until it is disposed of. */
function reportProgress({ mcpReq }: ServerContext): Disposable {
  const progressToken = mcpReq._meta?.progressToken;
  if (progressToken === undefined) return { [Symbol.dispose]() {} };
  let seconds = 0;
  const timer = setInterval(() => {
    seconds++;
    const params = { progressToken, progress: seconds, message: `running for ${seconds} s` };
    // A client that has gone is noticed by the transport.
    mcpReq.notify({ method: "notifications/progress", params }).catch(() => {});
  }, INTERVAL_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
