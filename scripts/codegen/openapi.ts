/**
 * Completes the OpenAPI document with the schemas of other documents, so that it needs no other file.
 *
 * @module
 */
import manifest from "../../schemas/manifest.json" with { type: "json" };
import receipt from "../../schemas/receipt.json" with { type: "json" };

type Json = Record<string, unknown>;

/** Component names of `$defs` that are not the name itself with a capital. */
const COMPONENTS: Readonly<Record<string, string>> = {
  path: "GuestPath",
  priority: "JobPriority",
  status: "JobStatus",
  node: "ReceiptNode",
  output_path: "OutputPath",
  nondeterminism_source: "NondeterminismSource",
  content: "Measured",
};

function componentName(definition: string): string {
  return COMPONENTS[definition] ?? definition[0]!.toUpperCase() + definition.slice(1);
}

/** Names of the components that {@linkcode completeOpenApi} writes. */
export const GENERATED_COMPONENTS: readonly string[] = [
  ...["Manifest", "ManifestFields", "ResourceFields", "Receipt"],
  ...new Set([manifest, receipt].flatMap(({ $defs }) => Object.keys($defs).map(componentName))),
];

/** Copy of a schema whose references point to components of the OpenAPI document. */
function relocated(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(relocated);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).filter(([key]) => !["$schema", "$id", "$defs", "examples"].includes(key))
      .map(
        ([key, part]) => [key, key === "$ref" ? relocatedRef(part as string) : relocated(part)],
      ),
  );
}

function relocatedRef(ref: string): string {
  return `#/components/schemas/${componentName(ref.replace("#/$defs/", ""))}`;
}

/** A manifest as the server accepts it: fields with a default may be absent. */
function fieldsOf(manifest: Json): Json {
  const properties = { ...manifest["properties"] as Json };
  properties["resources"] = { $ref: "#/components/schemas/ResourceFields" };
  return {
    ...manifest,
    title: "ManifestFields",
    description: "A manifest in which the version and fields with a default may be absent.",
    required: ["module_hash"],
    properties,
  };
}

/** Returns the text of schemas/openapi.json with its generated components. */
export function completeOpenApi(text: string): string {
  const document = JSON.parse(text);
  const schemas: Json = document.components.schemas;
  const complete = relocated(manifest) as Json;
  const generated: Json = {
    Manifest: complete,
    ManifestFields: fieldsOf(complete),
    Receipt: relocated(receipt),
  };
  for (const { $defs } of [manifest, receipt]) {
    for (const [name, schema] of Object.entries($defs)) {
      generated[componentName(name)] = relocated(schema);
    }
  }
  const resources = generated["Resources"] as Json;
  generated["ResourceFields"] = { ...resources, title: "ResourceFields", required: undefined };
  for (const name of GENERATED_COMPONENTS) delete schemas[name];
  for (const name of GENERATED_COMPONENTS) schemas[name] = generated[name];
  return `${JSON.stringify(document, null, 2)}\n`;
}
