/**
 * plasm.jsonc(5), from the schema of the configuration.
 * @module
 */
import schema from "../../schemas/config.json" with { type: "json" };
import { CONFIG_KEYS, type ConfigKey, envName } from "../../lib/config/config.ts";
import { VERSION } from "../../lib/core/version.ts";
import { bold, example, italic, item, roff, section, title } from "./roff.ts";

/** The page. */
export function configPage(keys: readonly ConfigKey[] = CONFIG_KEYS): string {
  return [
    title("plasm.jsonc", 5, { of: `plasm ${VERSION}`, title: "File Formats" }),
    section("name", "plasm.jsonc \\- configuration of plasm"),
    section(
      "synopsis",
      `${italic("/etc/plasm/config.jsonc")}, ${italic("$XDG_CONFIG_HOME/plasm/config.jsonc")}`,
    ),
    section(
      "description",
      roff(
        "JSON with comments and trailing commas. Every key has a default, and a file needs only " +
          "those that differ. A dot in a name below stands for an object inside an object. A key " +
          "that is not known is an error.",
      ),
      ".PP",
      roff(
        "Each key can also be set by an environment variable, which wins over the file: capitals, " +
          "PLASM_ before, underscores for dots. A user's own file is read in place of the " +
          "administrator's.",
      ),
      ".PP",
      roff(
        "Keys marked live take effect with systemctl reload plasm; the others when the daemon " +
          "starts again.",
      ),
    ),
    section("keys", ...keys.map(keyItem)),
    section(
      "examples",
      example(
        "A node that finds others but runs nobody else's jobs, and at most two of its own at once",
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

/** The values that a key takes, where the schema gives bounds or a list. */
function allowed(name: string): string | undefined {
  const node = name.split(".").reduce<SchemaNode | undefined>(
    (parent, part) => parent?.properties?.[part],
    schema as SchemaNode,
  );
  if (node?.enum !== undefined) return `one of ${node.enum.join(", ")}`;
  if (node?.minimum === undefined) return undefined;
  return `${[node.type].flat().join(" or ")} from ${node.minimum} to ${node.maximum}`;
}
