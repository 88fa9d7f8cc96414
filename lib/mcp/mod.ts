/**
 * plasm as a server of the Model Context Protocol: agents run modules, verify receipts and repeat runs.
 *
 * @module
 */
export { type McpHttpOptions, type McpHttpServer, serveMcpHttp } from "./http.ts";
export { type McpNetwork, McpRunner, type McpRunnerOptions, type PythonProgram } from "./runner.ts";
export { serveMcpStdio } from "./mcp_server.ts";
