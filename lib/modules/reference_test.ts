import { assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../core/errors/mod.ts";
import { isLoopback, parseReference, programName } from "./reference.ts";

const HASH = `sha256:${"a1".repeat(32)}`;

Deno.test("parseReference() reads files, standard input and hashes", () => {
  assertEquals(parseReference("dir/job.wasm"), {
    kind: "file",
    path: "dir/job.wasm",
    digest: undefined,
  });
  assertEquals(parseReference("c:job.wasm"), {
    kind: "file",
    path: "c:job.wasm",
    digest: undefined,
  });
  assertEquals(parseReference(`job.wasm#${HASH.replace(":", "=")}`), {
    kind: "file",
    path: "job.wasm",
    digest: HASH,
  });
  assertEquals(parseReference("-"), { kind: "stdin", digest: undefined });
  assertEquals(parseReference(HASH), { kind: "hash", digest: HASH });
});

Deno.test("parseReference() reads URLs with a pin", () => {
  const pinned = `https://example.com/a/tool.wasm?v=1#${HASH.replace(":", "=")}`;
  assertEquals(parseReference(pinned), {
    kind: "url",
    url: new URL("https://example.com/a/tool.wasm?v=1"),
    digest: HASH,
  });
  assertEquals(parseReference("http://127.0.0.1:8080/x").kind, "url");
});

Deno.test("parseReference() reads OCI references as docker and oras do", () => {
  const parts = (text: string): unknown => {
    const { registry, repository, version } = parseReference(text) as Extract<
      ReturnType<typeof parseReference>,
      { kind: "oci" }
    >;
    return [registry, repository, version];
  };
  assertEquals(parts("oci://ghcr.io/org/tool"), ["ghcr.io", "org/tool", "latest"]);
  assertEquals(parts("oci://localhost:5000/tool:v1.2"), ["localhost:5000", "tool", "v1.2"]);
  assertEquals(parts(`oci://ghcr.io/a/b/c@${HASH}`), ["ghcr.io", "a/b/c", HASH]);
  assertEquals(parts(`oci://ghcr.io/a/b:tag@${HASH}`), ["ghcr.io", "a/b", HASH]);
  assertEquals(parts("oci://docker.io/tool"), ["registry-1.docker.io", "library/tool", "latest"]);
});

Deno.test("parseReference() refuses malformed and unsafe references", () => {
  for (
    const text of [
      "ftp://example.com/x.wasm",
      "file:///etc/passwd",
      "http://example.com/x.wasm",
      "https://user:secret@example.com/x.wasm",
      "https://example.com/x.wasm#main",
      "https://",
      "job.wasm#sha256=abc",
      "sha256:abc",
      `${HASH}#sha256=${"00".repeat(32)}`,
      "oci://ghcr.io",
      "oci://ghcr.io/",
      "oci://ghcr.io/UPPER",
      "oci://ghcr.io/../etc",
      "oci://ghcr.io/a:.tag",
      "oci://ghcr.io/a@sha256:abc",
      "oci://user@ghcr.io/a",
      "oci://ghcr.io/a\x1b[2J",
      "oci://ghcr.io/a:v1\n",
      "oci://gh\u202ecr.io/a",
      `https://example.com/${"x".repeat(5000)}`,
    ]
  ) {
    const error = assertThrows(() => parseReference(text), PlasmError, "Cannot use module");
    assertEquals(error.code, "usage", text);
  }
});

Deno.test("programName() takes the last segment of a reference", () => {
  for (
    const [text, name] of [
      ["dir/job.wasm", "job.wasm"],
      ["https://example.com/a/b%20c.wasm?x=1", "b c.wasm"],
      ["https://example.com/", undefined],
      ["oci://ghcr.io/org/tool:1", "tool"],
      ["-", undefined],
      [HASH, undefined],
    ] as const
  ) assertEquals(programName(parseReference(text)), name, text);
});

Deno.test("isLoopback() knows names and addresses of this machine only", () => {
  for (const host of ["localhost", "a.localhost", "127.0.0.1", "127.8.9.1", "[::1]"]) {
    assertEquals(isLoopback(host), true, host);
  }
  for (const host of ["localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "[::2]"]) {
    assertEquals(isLoopback(host), false, host);
  }
});
