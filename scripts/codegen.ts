/**
 * Generates types and validators from the schemas. A test fails when a generated file is stale.
 *
 * Run: `deno task codegen`
 *
 * @module
 */
import { generateTypes, TYPE_FILES } from "./codegen/types.ts";
import { generateValidators, VALIDATOR_FILES } from "./codegen/validators.ts";

const ROOT = new URL("../", import.meta.url);

/** Every generated file: path relative to the repository → text. */
export async function generatedFiles(): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const { file, schemas, options } of TYPE_FILES) {
    files[file] = generateTypes(schemas, options);
  }
  for (const one of VALIDATOR_FILES) {
    const schemas: Record<string, Record<string, unknown>> = {};
    for (const name of Object.values(one.documents)) {
      schemas[name] = JSON.parse(await Deno.readTextFile(new URL(`schemas/${name}`, ROOT)));
    }
    files[one.file] = generateValidators(one, schemas);
  }
  return files;
}

if (import.meta.main) {
  for (const [file, text] of Object.entries(await generatedFiles())) {
    await Deno.writeTextFile(new URL(file, ROOT), text);
  }
}
