/**
 * Says what a file that is no WebAssembly core module is instead.
 * @module
 */
import { badModule } from "./bad_module.ts";

const MAGIC = [0x00, 0x61, 0x73, 0x6d];
const HEADER_BYTES = 8;

/** How much of a file is looked at to tell text from binary. */
const SNIFFED_BYTES = 512;

const SIGNATURES: readonly (readonly [bytes: string, what: string, hint?: string])[] = [
  ["\x7fELF", "an ELF program"],
  ["MZ", "a Windows program"],
  ["\xcf\xfa\xed\xfe", "a macOS program"],
  ["\xca\xfe\xba\xbe", "a Java class or a macOS program"],
  ["BC\xc0\xde", "LLVM bitcode", "Link it with wasm-ld first"],
  ["!<arch>\n", "a library archive", "Link it with wasm-ld first"],
  ["\x1f\x8b", "gzip data", "Decompress it first"],
  ["\x28\xb5\x2f\xfd", "zstd data", "Decompress it first"],
  ["\xfd7zXZ\0", "xz data", "Decompress it first"],
  ["BZh", "bzip2 data", "Decompress it first"],
  ["PK\x03\x04", "a zip archive", "Unpack it first"],
  ["%PDF", "a PDF document"],
  ["\x89PNG", "a picture"],
  ["#!", "a script", "Compile it, or run the script's interpreter as a module"],
  ["version https://git-lfs", "a Git LFS pointer", "Fetch the file itself: git lfs pull"],
];

function describe(bytes: Uint8Array): { what: string; hint?: string | undefined } {
  const head = Array.from(
    bytes.subarray(0, SNIFFED_BYTES),
    (byte) => String.fromCharCode(byte),
  ).join("");
  for (const [signature, what, hint] of SIGNATURES) {
    if (head.startsWith(signature)) return { what, hint };
  }
  const text = head.trimStart().toLowerCase();
  if (/^<(!doctype html|html|head|body)/.test(text)) {
    return { what: "an HTML page", hint: "A download may have given an error page instead" };
  }
  if (/^(\(module|\(component|\(;|;;)/.test(text)) {
    return { what: "WebAssembly text", hint: "Assemble it first: wat2wasm" };
  }
  if (/^[{[]/.test(text)) return { what: "JSON text" };
  // deno-lint-ignore no-control-regex -- control characters are what tells binary from text
  return { what: /[\x00-\x08\x0e-\x1f]/.test(head) ? "unknown binary data" : "text" };
}

/** Throws a `bad-module` error unless `bytes` begins as a WebAssembly core module does. */
export function checkHeader(bytes: Uint8Array): void {
  if (bytes.length === 0) throw badModule("the file is empty");
  if (!MAGIC.every((byte, index) => index >= bytes.length || bytes[index] === byte)) {
    const { what, hint } = describe(bytes);
    throw badModule(`it is no WebAssembly but looks like ${what}`, {
      hint: hint ?? "Name a core module built for wasm32-wasip1",
      details: { looks_like: what },
    });
  }
  if (bytes.length < HEADER_BYTES) {
    throw badModule(`it ends inside its header, after ${bytes.length} of ${HEADER_BYTES} bytes`, {
      hint: "The file is cut off; build or download it again",
    });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint16(4, true);
  const layer = view.getUint16(6, true);
  if (layer === 1) {
    throw badModule(`it is a WebAssembly component (version ${version}, layer 1)`, {
      hint: "Components are not supported; build a core module (wasm32-wasip1)",
      details: { version, layer },
    });
  }
  if (version !== 1 || layer !== 0) {
    throw badModule(`it says WebAssembly version ${version} layer ${layer}, known is 1 layer 0`, {
      hint: "The file is damaged, or newer than this runtime",
      details: { version, layer },
    });
  }
}
