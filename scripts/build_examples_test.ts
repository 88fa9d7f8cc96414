import { assertEquals } from "@std/assert";
import {
  buildExample,
  COMPILER,
  compilerVersion,
  exampleFile,
  EXAMPLES,
  hashLine,
  PACKAGES,
} from "./build_examples.ts";

const version = await compilerVersion();
if (version !== COMPILER) {
  console.warn(
    `SKIPPED: rebuilding examples: found ${version ?? "no clang"}, need ${COMPILER} ` +
      `(apt-get install ${PACKAGES})`,
  );
}

for (const name of EXAMPLES) {
  Deno.test(`examples/${name} matches its committed hash`, async () => {
    assertEquals(
      await hashLine(name, await Deno.readFile(exampleFile(name, "wasm"))),
      await Deno.readTextFile(exampleFile(name, "wasm.sha256")),
    );
  });

  Deno.test({
    name: `buildExample() reproduces examples/${name} byte for byte`,
    ignore: version !== COMPILER,
    async fn() {
      assertEquals(
        await hashLine(name, await buildExample(name)),
        await hashLine(name, await Deno.readFile(exampleFile(name, "wasm"))),
      );
    },
  });
}
