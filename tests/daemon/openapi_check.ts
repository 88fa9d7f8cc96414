/**
 * A client that holds what goes and what comes against schemas/openapi.json.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { type Schema, Validator } from "@cfworker/json-schema";
import manifestSchema from "../../schemas/manifest.json" with { type: "json" };
import document from "../../schemas/openapi.json" with { type: "json" };
import receiptSchema from "../../schemas/receipt.json" with { type: "json" };

type Json = Record<string, unknown>;
type Content = Record<string, { schema: Schema }>;
interface Operation {
  requestBody?: { content: Content };
  responses: Record<string, { content?: Content; $ref?: string }>;
}

const DOCUMENT_ID = "https://plasm.test/openapi.json";
const METHODS = ["get", "head", "put", "post", "delete"];

/** Every answer that the document promises, as `METHOD path status`. */
export function documentedAnswers(): string[] {
  return Object.entries(document.paths as unknown as Record<string, Record<string, Operation>>)
    .flatMap(([path, item]) =>
      METHODS.filter((method) => item[method] !== undefined).flatMap((method) =>
        Object.keys(item[method]!.responses).filter((status) => status !== "default")
          .map((status) => `${method.toUpperCase()} ${path} ${status}`)
      )
    );
}

/** The path of the document that a path is an example of. */
export function templateOf(path: string): string | undefined {
  const parts = path.split("?")[0]!.split("/");
  return Object.keys(document.paths).find((template) => {
    const names = template.split("/");
    return names.length === parts.length &&
      names.every((name, at) => name.startsWith("{") || name === parts[at]);
  });
}

const validators = new Map<string, Validator>();

function validate(schema: Schema, value: unknown, what: string): void {
  const key = JSON.stringify(schema);
  let validator = validators.get(key);
  if (validator === undefined) {
    // References are to the document's components, so the schema stands in it.
    const whole = { $id: DOCUMENT_ID, components: document.components, ...schema };
    validator = new Validator(whole as Schema, "2020-12");
    validator.addSchema(manifestSchema as Schema);
    validator.addSchema(receiptSchema as Schema);
    validators.set(key, validator);
  }
  const { valid, errors } = validator.validate(value);
  assert(valid, `${what}: ${JSON.stringify(errors.slice(-3))} in ${JSON.stringify(value)}`);
}

function resolved(answer: { content?: Content; $ref?: string }): { content?: Content } {
  const name = answer.$ref?.split("/").at(-1);
  if (name === undefined) return answer;
  return (document.components.responses as unknown as Record<string, { content?: Content }>)[name]!;
}

/** What a call gives. */
export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  bytes: Uint8Array;
  /** The body, where it is a JSON object. */
  json: Json;
  /** The events, where the body is a stream of them. */
  events: Json[];
}

/** Options of a call. */
export interface CallOptions {
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
}

/** Calls the API and checks request and answer. */
export type CheckedFetch = (method: string, path: string, options?: CallOptions) => Promise<Answer>;

function parseEvents(text: string, type: string): Json[] {
  const lines = type === "text/event-stream"
    ? text.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6))
    : text.split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line));
}

/** Makes a checking client. */
export function checkedFetch(
  base: string,
  init: RequestInit & { client?: Deno.HttpClient } = {},
): CheckedFetch {
  return async (method, path, options = {}) => {
    const { json, body, headers = {} } = options;
    const type = json === undefined ? {} : { "content-type": "application/json" };
    const response = await fetch(base + path, {
      ...init,
      method,
      headers: { ...init.headers as Record<string, string>, ...type, ...headers },
      ...(json === undefined ? body === undefined ? {} : { body } : { body: JSON.stringify(json) }),
    });
    const bytes = await response.bytes();
    const { status } = response;
    const text = new TextDecoder().decode(bytes);
    return checkAnswer({ status, headers: response.headers, text, bytes }, { method, path, json });
  };
}

/** Holds an answer against the document, and with one that is no refusal its request. */
export function checkAnswer(
  { status, headers, text, bytes = new Uint8Array() }:
    & Pick<Answer, "status" | "headers" | "text">
    & {
      bytes?: Uint8Array;
    },
  { method, path, json }: { method: string; path: string; json: unknown },
): Answer {
  const answer: Answer = { status, headers, text, bytes, json: {}, events: [] };
  const what = `${method} ${path} ${status}`;
  const media = headers.get("content-type")?.split(";")[0] ?? "";
  if (media === "application/json" && text !== "") answer.json = JSON.parse(text);

  const template = templateOf(path);
  const paths = document.paths as unknown as Record<string, Record<string, Operation>>;
  const operation = template === undefined ? undefined : paths[template]?.[method.toLowerCase()];
  if (operation === undefined) {
    assert([401, 403, 404, 405, 204].includes(status), `${what} is not in the document`);
    if (status !== 204 && text !== "") {
      validate({ $ref: "#/components/schemas/ErrorBody" }, answer.json, what);
    }
    return answer;
  }
  if (json !== undefined && status < 400) {
    const schema = operation.requestBody?.content["application/json"]?.schema;
    assert(schema !== undefined, `${what}: no JSON body in the document`);
    validate(schema, json, `request of ${what}`);
  }
  const documented = operation.responses[status] ??
    (status >= 500 ? operation.responses["default"] : undefined);
  assert(documented !== undefined, `${what} is not in the document: ${text}`);
  const { content } = resolved(documented);
  if (content === undefined || method === "HEAD") {
    assertEquals(text, "", what);
    return answer;
  }
  const schema = content[media]?.schema;
  assert(schema !== undefined, `${what}: ${media} is not in the document`);
  if (media === "application/json") validate(schema, answer.json, what);
  if (media === "application/x-ndjson" || media === "text/event-stream") {
    answer.events = parseEvents(text, media);
    for (const event of answer.events) validate(schema, event, what);
  }
  return answer;
}
