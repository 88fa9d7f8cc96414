/**
 * The keys of the configuration, read from its schema.
 * @module
 */
import schema from "../../schemas/config.json" with { type: "json" };
import { nearest } from "../util/mod.ts";
import type { ConfigValue } from "./config.ts";

/** What the schema says about one key. */
export interface ConfigKey {
  /** Dotted name, such as `jobs.queue_max`. */
  name: string;
  /** JSON types that the key takes. */
  types: readonly string[];
  /** The value where nothing else is said. */
  default: ConfigValue;
  /** What the key means. */
  description: string;
  /** Whether SIGHUP applies a change. */
  live: boolean;
}

interface SchemaNode {
  type?: string | string[];
  default?: ConfigValue;
  description?: string;
  "x-reload"?: string;
  properties?: Record<string, SchemaNode>;
}

function* walk(node: SchemaNode, prefix: string): Generator<ConfigKey> {
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    const name = prefix + key;
    if (child.properties !== undefined) {
      yield* walk(child, `${name}.`);
    } else if (child.default !== undefined) {
      yield {
        name,
        types: typeof child.type === "string" ? [child.type] : child.type ?? [],
        default: child.default,
        description: child.description ?? "",
        live: child["x-reload"] === "live",
      };
    }
  }
}

/** The schema, as printed by `plasm config schema`. */
export const CONFIG_SCHEMA: object = schema;

/** Every key, in the schema's order. */
export const CONFIG_KEYS: readonly ConfigKey[] = [...walk(schema as unknown as SchemaNode, "")];

/** Name of the environment variable that sets a key: `jobs.queue_max` is `PLASM_JOBS_QUEUE_MAX`. */
export function envName(key: string): string {
  return `PLASM_${key.replaceAll(".", "_").toUpperCase()}`;
}

/** The known name that was probably meant by one that is not known. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  // A right last part in the wrong section is nearer than any misspelling.
  const last = name.split(".").at(-1);
  return known.find((candidate) => candidate.split(".").at(-1) === last) ?? nearest(name, known);
}
