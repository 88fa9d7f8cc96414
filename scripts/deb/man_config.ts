/**
 * Generates plasm.jsonc(5) from the configuration schema.
 * @module
 */
import schema from "../../schemas/config.json" with { type: "json" };
import { CONFIG_KEYS, type ConfigKey, envName } from "../../lib/config/config.ts";
import { VERSION } from "../../lib/core/mod.ts";
import { bold, example, italic, item, type PageOptions, roff, section, title } from "./roff.ts";

/** Generates the man page. */
export function configPage(
  { date }: PageOptions,
  keys: readonly ConfigKey[] = CONFIG_KEYS,
): string {
  return [
    title("plasm.jsonc", 5, { date, of: `plasm ${VERSION}`, title: "File Formats" }),
    section("name", "plasm.jsonc \\- configuration of plasm"),
    section(
      "synopsis",
      `${italic("/etc/plasm/config.jsonc")}, ${italic("$XDG_CONFIG_HOME/plasm/config.jsonc")}`,
    ),
    section(
      "description",
      roff(
        "JSON with comments and trailing commas. Every key has a default; list only the keys that " +
          "differ. A dot in a key's name below denotes a nested object. Unknown keys are errors.",
      ),
      ".PP",
      roff(
        "Each key can also be set by an environment variable, which overrides the file: PLASM_ and " +
          "the key's name in upper case, with underscores for dots. The per-user file replaces the " +
          "system-wide file.",
      ),
      ".PP",
      roff(
        "Keys marked live take effect on systemctl reload plasm; all others require a restart of " +
          "the daemon.",
      ),
    ),
    section("keys", ...keys.map(keyItem)),
    section(
      "examples",
      example(
        "A node that joins the network, runs at most two jobs at once, and accepts none from peers",
        `{
  // Comments are allowed.
  "jobs": { "concurrency": 2 },
  "network": { "enabled": true, "policy": { "submit": "nobody" } }
}`,
      ),
    ),
    section("see also", ".BR plasm (1)"),
    "",
  ].join("\n");
}

function keyItem({ name, types, default: value, description, live }: ConfigKey): string {
  const facts = [
    allowed(name) ?? types.join(" or "),
    `default ${JSON.stringify(value)}`,
    live ? "live" : "at start",
    envName(name),
  ];
  return item(bold(name), `${roff(description)}.\n.br\n${roff(facts.join("; "))}`);
}

interface SchemaNode {
  properties?: Record<string, SchemaNode>;
  enum?: unknown[];
  type?: string | string[];
  minimum?: number;
  maximum?: number;
}

/** Describes a key's allowed values, if the schema defines bounds or a list. */
function allowed(name: string): string | undefined {
  const node = name.split(".").reduce<SchemaNode | undefined>(
    (parent, part) => parent?.properties?.[part],
    schema as SchemaNode,
  );
  if (node?.enum !== undefined) return `one of ${node.enum.join(", ")}`;
  if (node?.minimum === undefined) return undefined;
  return `${[node.type].flat().join(" or ")} from ${node.minimum} to ${node.maximum}`;
}
