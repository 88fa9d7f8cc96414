import { assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../core/errors/errors.ts";
import { checkHeader } from "./header.ts";

function refusal(bytes: Iterable<number>): string {
  return assertThrows(() => checkHeader(new Uint8Array(bytes)), PlasmError).message;
}

function refusalOfText(text: string): string {
  return refusal(Array.from(text, (character) => character.charCodeAt(0)));
}

Deno.test("checkHeader() accepts the header of a core module", () => {
  checkHeader(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]));
});

Deno.test("checkHeader() rejects an empty file", () => {
  assertEquals(refusal([]), "Cannot run module: the file is empty");
});

Deno.test("checkHeader() rejects every truncated header", () => {
  const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  for (let length = 1; length < header.length; length++) {
    assertEquals(
      refusal(header.slice(0, length)),
      `Cannot run module: its header is truncated to ${length} of 8 bytes`,
    );
  }
});

Deno.test("checkHeader() names the type of another file", () => {
  const cases: [content: string, what: string][] = [
    ["\x7fELF\x02\x01\x01\0", "an ELF executable"],
    ["MZ\x90\0", "a Windows executable"],
    ["\x1f\x8b\x08\0", "gzip data"],
    ["PK\x03\x04\x14\0", "a zip archive"],
    ["BC\xc0\xde5\x14", "LLVM bitcode"],
    ["!<arch>\nfoo", "a library archive"],
    ["#!/bin/sh\necho", "a script"],
    ["version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"],
    ["\n<!DOCTYPE html><title>404</title>", "an HTML page"],
    ["<html>", "an HTML page"],
    ["(module (memory 1))", "WebAssembly text"],
    [";; a comment\n(module)", "WebAssembly text"],
    ['{"error": "not found"}', "JSON text"],
    ["int main(void) { return 0; }", "text"],
    ["\x01\x02\x03\x04", "unknown binary data"],
  ];
  for (const [content, what] of cases) {
    assertEquals(
      refusalOfText(content),
      `Cannot run module: it is not WebAssembly, it looks like ${what}`,
    );
  }
});

Deno.test("checkHeader() rejects a component", () => {
  const error = assertThrows(
    () => checkHeader(new Uint8Array([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0])),
    PlasmError,
  );
  assertEquals(
    error.message,
    "Cannot run module: it is a WebAssembly component (version 13, layer 1)",
  );
  assertEquals(error.hint, "Components are not supported; build a core module (wasm32-wasip1)");
});

Deno.test("checkHeader() rejects an unknown version", () => {
  assertEquals(
    refusal([0, 0x61, 0x73, 0x6d, 2, 0, 0, 0]),
    "Cannot run module: unsupported WebAssembly version 2 layer 0, expected 1 layer 0",
  );
});
