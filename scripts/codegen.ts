/**
 * Generates types from the schemas, and the copies of schemas in the OpenAPI document. A test fails when a generated file
 * is stale.
 *
 * Run: `deno task codegen`
 *
 * @module
 */
import { completeOpenApi } from "./codegen/openapi.ts";
import { generateTypes, TYPE_FILES } from "./codegen/types.ts";

/** The OpenAPI document: a source, except for the components that are copies of other schemas. */
const OPENAPI = "schemas/openapi.json";

const ROOT = new URL("../", import.meta.url);

/** Returns every generated file: path relative to the repository → text. */
export async function generatedFiles(): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const { file, schemas, options } of TYPE_FILES) {
    files[file] = generateTypes(schemas, options);
  }
  files[OPENAPI] = completeOpenApi(await Deno.readTextFile(new URL(OPENAPI, ROOT)));
  return files;
}

if (import.meta.main) {
  for (const [file, text] of Object.entries(await generatedFiles())) {
    await Deno.writeTextFile(new URL(file, ROOT), text);
  }
}
