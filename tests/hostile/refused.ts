/**
 * Files that are no module, or none that can be run.
 * @module
 */
import { COMMAND, concat, leb, moduleOf, name, SECTION, section } from "./binary.ts";
import { command, type HostileModule } from "./case.ts";
import { assemble } from "./wat.ts";

function refused(
  label: string,
  what: string,
  options: { file: string | Uint8Array | (() => Promise<Uint8Array<ArrayBuffer>>); says: string },
): HostileModule {
  const { file, says } = options;
  return {
    name: `refused-${label}`,
    what,
    bytes: async () => {
      if (typeof file === "function") return await file();
      return typeof file === "string" ? new TextEncoder().encode(file) : new Uint8Array(file);
    },
    expect: { status: "rejected", code: "bad-module", messageIncludes: says },
  };
}

const SECTIONS = Object.values(COMMAND);

/** Files that are no module, or none that can be run. */
export const REFUSED: readonly HostileModule[] = [
  refused("empty", "Is empty", { file: "", says: "the file is empty" }),
  refused("text", "Is a text", { file: "Hello, World\n", says: "looks like text" }),
  refused("elf", "Is a program of the host", { file: "\x7fELF\x02\x01", says: "an ELF program" }),
  refused("html", "Is a web page", { file: "<!doctype html>", says: "an HTML page" }),
  refused("component", "Is a component", {
    file: new Uint8Array([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]),
    says: "WebAssembly component",
  }),
  refused("header-only", "Has no sections", {
    file: moduleOf(),
    says: "neither _start nor memory",
  }),
  refused("half-header", "Ends inside its header", {
    file: moduleOf().slice(0, 6),
    says: "inside its header, after 6 of 8 bytes",
  }),
  refused("cut-off", "Ends inside its last section", {
    file: moduleOf(...SECTIONS).slice(0, -2),
    says: "its code section",
  }),
  refused("lying-length", "Has a section of 4 GiB, it says", {
    file: moduleOf(...SECTIONS, [0], leb(4_294_967_295), [1, 2, 3]),
    says: "says 4294967295 bytes, 3 are left",
  }),
  refused("lying-count", "Has four billion types, it says", {
    file: moduleOf(section(SECTION.type, leb(4_294_967_295))),
    says: "says it has 4294967295 types",
  }),
  refused("section-twice", "Has two memory sections", {
    file: moduleOf(COMMAND.type, COMMAND.memory, COMMAND.memory),
    says: "its memory section twice",
  }),
  refused("section-order", "Has its type section at the end", {
    file: moduleOf(COMMAND.memory, COMMAND.type),
    says: "comes after its memory section",
  }),
  refused("reactor", "Has an _initialize and no _start", {
    file: () => assemble(`(module (memory (export "memory") 1) (func (export "_initialize")))`),
    says: "a reactor",
  }),
  refused("no-memory", "Exports no memory", {
    file: () => assemble(`(module (func (export "_start")))`),
    says: "exports no memory",
  }),
  refused("no-start", "Exports no _start", {
    file: () => assemble(`(module (memory (export "memory") 1))`),
    says: "exports no _start",
  }),
  refused("import", "Imports what only a web page has", {
    file: () =>
      assemble(
        command("", { fields: "" }).replace(
          "(memory",
          `(import "env" "alert\\u{0a}forged log line" (func)) (memory`,
        ),
      ),
    says: 'function "env"."alert\\u{a}forged log line"',
  }),
  refused("import-prototype", "Imports by the names of JavaScript's own objects", {
    file: () =>
      assemble(
        command("").replace(
          "(memory",
          `(import "__proto__" "constructor" (func)) (memory`,
        ),
      ),
    says: 'function "__proto__"."constructor"',
  }),
  refused("import-type", "Imports fd_write as if it took a reference", {
    file: () =>
      assemble(
        command("").replace(
          "(memory",
          `(import "wasi_snapshot_preview1" "fd_write" (func (param externref))) (memory`,
        ),
      ),
    says: "it imports fd_write as (externref ->)",
  }),
  refused("threads", "Imports a shared memory", {
    file: () =>
      assemble(
        `(module (import "env" "memory" (memory 1 2 shared)) (func (export "_start")))`,
      ),
    says: 'memory "env"."memory"',
  }),
  refused("invalid-body", "Has a function that does not type-check", {
    file: moduleOf(...SECTIONS.slice(0, -1), section(SECTION.code, [1, 3, 0, 0x6a, 0x0b])),
    says: "Cannot compile module",
  }),
  {
    name: "custom-sections",
    what: "Has custom sections of any content, everywhere, and is fine",
    bytes: () => {
      const custom = concat(
        section(SECTION.custom, concat(name("name"), new Uint8Array(64).fill(0xff))),
        section(SECTION.custom, concat(name("__proto__"), [1, 2, 3])),
        section(SECTION.custom, name("x".repeat(100_000))),
        section(SECTION.custom, concat(name("sourceMappingURL"), name("http://localhost/"))),
      );
      return Promise.resolve(moduleOf(custom, ...SECTIONS.flatMap((one) => [one, custom])));
    },
    expect: { status: "exited", exitCode: 0 },
  },
  {
    name: "export-names",
    what: "Exports names that mean something to JavaScript, and is fine",
    bytes: () =>
      assemble(command("", {
        fields: ["__proto__", "constructor", "then", "toString", "", "x".repeat(50_000)].map((
          one,
        ) => `(func (export "${one}") unreachable)`).join("\n"),
      })),
    expect: { status: "exited", exitCode: 0 },
  },
];
