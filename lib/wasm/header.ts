/**
 * Checks the header of a WebAssembly core module, and detects the type of other files for the error message.
 *
 * @module
 */
import { badModule } from "./reader.ts";

const MAGIC = [0x00, 0x61, 0x73, 0x6d];
const HEADER_BYTES = 8;

/** Number of leading bytes inspected to detect the file type. */
const SNIFFED_BYTES = 512;

const SIGNATURES: readonly (readonly [bytes: string, what: string, hint?: string])[] = [
  ["\x7fELF", "an ELF executable"],
  ["MZ", "a Windows executable"],
  ["\xcf\xfa\xed\xfe", "a macOS executable"],
  ["\xca\xfe\xba\xbe", "a Java class or a macOS universal binary"],
  ["BC\xc0\xde", "LLVM bitcode", "Link it with wasm-ld first"],
  ["!<arch>\n", "a library archive", "Link it with wasm-ld first"],
  ["\x1f\x8b", "gzip data", "Decompress it first"],
  ["\x28\xb5\x2f\xfd", "zstd data", "Decompress it first"],
  ["\xfd7zXZ\0", "xz data", "Decompress it first"],
  ["BZh", "bzip2 data", "Decompress it first"],
  ["PK\x03\x04", "a zip archive", "Unpack it first"],
  ["%PDF", "a PDF document"],
  ["\x89PNG", "a PNG image"],
  ["#!", "a script", "Compile it to WebAssembly, or run its interpreter as the module"],
  ["version https://git-lfs", "a Git LFS pointer", "Fetch the file: git lfs pull"],
];

/** Detects the type of a file that is not WebAssembly. */
function detectFileType(bytes: Uint8Array): { what: string; hint?: string | undefined } {
  const head = Array.from(
    bytes.subarray(0, SNIFFED_BYTES),
    (byte) => String.fromCharCode(byte),
  ).join("");
  for (const [signature, what, hint] of SIGNATURES) {
    if (head.startsWith(signature)) return { what, hint };
  }
  const text = head.trimStart().toLowerCase();
  if (/^<(!doctype html|html|head|body)/.test(text)) {
    return { what: "an HTML page", hint: "The download may have returned an error page" };
  }
  if (/^(\(module|\(component|\(;|;;)/.test(text)) {
    return { what: "WebAssembly text", hint: "Assemble it first: wat2wasm" };
  }
  if (/^[{[]/.test(text)) return { what: "JSON text" };
  // deno-lint-ignore no-control-regex -- control characters distinguish binary data from text
  return { what: /[\x00-\x08\x0e-\x1f]/.test(head) ? "unknown binary data" : "text" };
}

/** Throws a `bad-module` error unless `bytes` starts with the header of a WebAssembly core module. */
export function checkHeader(bytes: Uint8Array): void {
  if (bytes.length === 0) throw badModule("the file is empty");
  if (!MAGIC.every((byte, index) => index >= bytes.length || bytes[index] === byte)) {
    const { what, hint } = detectFileType(bytes);
    throw badModule(`it is not WebAssembly, it looks like ${what}`, {
      hint: hint ?? "Pass a core module built for wasm32-wasip1",
      details: { looks_like: what },
    });
  }
  if (bytes.length < HEADER_BYTES) {
    throw badModule(`its header is truncated to ${bytes.length} of ${HEADER_BYTES} bytes`, {
      hint: "The file is truncated; build or download it again",
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
    throw badModule(
      `unsupported WebAssembly version ${version} layer ${layer}, expected 1 layer 0`,
      {
        hint: "The file is damaged or newer than this runtime",
        details: { version, layer },
      },
    );
  }
}
