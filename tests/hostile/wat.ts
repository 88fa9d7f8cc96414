/**
 * Assembles WebAssembly text, so that every hostile module can be read as source.
 * @module
 */
import wabt from "wabt";

/** What V8 has without a flag and wabt can write; GC it cannot: see binary.ts. */
const FEATURES = {
  bulk_memory: true,
  exceptions: true,
  memory64: true,
  multi_memory: true,
  mutable_globals: true,
  reference_types: true,
  simd: true,
  tail_call: true,
  threads: true,
};

/** Turns WebAssembly text into a binary. Throws wabt's own error, with line and column. */
export async function assemble(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const { parseWat } = await wabt();
  const module = parseWat("hostile.wat", text, FEATURES);
  try {
    return new Uint8Array(module.toBinary({}).buffer);
  } finally {
    module.destroy();
  }
}
