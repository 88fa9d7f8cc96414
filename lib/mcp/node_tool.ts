/**
 * The tool `find_nodes`.
 *
 * @module
 */
import { fromJsonSchema, type McpServer } from "@modelcontextprotocol/server";
import type { FoundNodeJson } from "../api/mod.ts";
import type { McpNetwork } from "./runner.ts";
import { answer, callTool } from "./tool_result.ts";

interface FindArguments {
  arch?: string;
  min_memory_mb?: number;
  limit?: number;
  timeout_seconds?: number;
}

/** Adds the tool. */
export function addNodeTool(server: McpServer, network: McpNetwork): void {
  server.registerTool("find_nodes", {
    title: "Find nodes of the network",
    description:
      "Searches the network, through the plasm daemon of this machine, for nodes that run jobs. Each node's " +
      "capabilities are signed by it and verified.",
    inputSchema: fromJsonSchema<FindArguments>({
      type: "object",
      additionalProperties: false,
      properties: {
        arch: { type: "string", enum: ["x86_64", "aarch64"], description: "Default any" },
        min_memory_mb: { type: "integer", minimum: 1, description: "Default any" },
        limit: { type: "integer", minimum: 1, maximum: 100, description: "Default 10" },
        timeout_seconds: { type: "integer", minimum: 1, maximum: 120, description: "Default 30" },
      },
    }),
    outputSchema: fromJsonSchema({
      type: "object",
      required: ["nodes"],
      properties: { nodes: { type: "array", items: { type: "object" } } },
    }),
    annotations: { readOnlyHint: true, openWorldHint: true },
  }, (given, context) =>
    callTool(context, async (signal) => {
      using client = network.connect();
      const nodes: FoundNodeJson[] = [];
      for await (const node of client.discover(given, { signal })) nodes.push(node);
      nodes.sort((a, b) => b.score - a.score);
      return answer({ nodes });
    }));
}
