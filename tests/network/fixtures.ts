/**
 * Documents that several tests use.
 * @module
 */
import type { CapabilityFields } from "../../lib/network/capability.ts";

/** A small node. */
export const FIELDS: CapabilityFields = {
  runtime: { name: "plasm", version: "0.1.0", engine: "V8 14.0", arch: "x86_64" },
  wasi: ["preview1"],
  features: ["bulk-memory", "simd"],
  cpu_cores: 2,
  memory_mb: 1024,
  limits: {
    memory_mb: 512,
    timeout_seconds: 60,
    cpu_seconds: 60,
    output_bytes: 1048576,
    module_bytes: 33554432,
  },
  load: { running: 0, queued: 0, slots: 2 },
};
