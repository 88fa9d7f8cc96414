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
    `SKIPPED: examples are not rebuilt: found ${version ?? "no clang"}, need ${COMPILER} ` +
      `(apt-get install ${PACKAGES})`,
  );
}

for (const name of EXAMPLES) {
  Deno.test(`examples/${name} has the hash that stands beside it`, async () => {
    assertEquals(
      await hashLine(name, await Deno.readFile(exampleFile(name, "wasm"))),
      await Deno.readTextFile(exampleFile(name, "wasm.sha256")),
    );
  });

  Deno.test({
    name: `buildExample() rebuilds examples/${name} to the byte`,
    ignore: version !== COMPILER,
    async fn() {
      assertEquals(
        await hashLine(name, await buildExample(name)),
        await hashLine(name, await Deno.readFile(exampleFile(name, "wasm"))),
      );
    },
  });
}
