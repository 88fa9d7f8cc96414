/**
 * Ways to change a receipt, for tests and published vectors.
 * @module
 */
import type { Receipt } from "../lib/job/types.ts";

/** A changed receipt and the field that a verifier must name. */
export interface ReceiptMutation {
  name: string;
  /** The field that a verifier names when the old signature stays. */
  field: string;
  receipt: Record<string, unknown>;
}

type Fields = Record<string, unknown>;

const OTHER_PEER = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
const OTHER_KEY = "0".repeat(62) + "09";

/** Another value, of the right form, for each field that is no object. */
const CHANGES: Record<string, (value: never) => unknown> = {
  version: () => "0.2",
  job_id: () => "job_" + "z".repeat(26),
  nonce: flipLast,
  manifest_hash: flipLast,
  module_hash: flipLast,
  stdin_hash: flipLast,
  stdout_hash: flipLast,
  stdout_bytes: plusOne,
  stderr_hash: flipLast,
  stderr_bytes: plusOne,
  status: () => "trapped",
  exit_code: plusOne,
  "usage.wall_time_ms": plusOne,
  "usage.cpu_time_ms": plusOne,
  "usage.memory_peak_bytes": plusOne,
  started_at: (time: string) => new Date(Date.parse(time) - 1).toISOString(),
  finished_at: (time: string) => new Date(Date.parse(time) + 1).toISOString(),
  "runtime.name": plusX,
  "runtime.version": plusX,
  "runtime.engine": plusX,
  "runtime.arch": plusX,
  "node.peer_id": () => OTHER_PEER,
  "node.public_key": () => OTHER_KEY,
  signature: flipLast,
};

/** Fields that the form alone refuses when changed so. */
const REFUSED_BY_FORM: Record<string, string> = { version: "version", status: "exit_code" };

/** Every field changed to another value of its form. */
export function changedFields(receipt: Receipt): ReceiptMutation[] {
  return leaves(receipt).map((path) => {
    const change = CHANGES[path];
    if (change === undefined) throw new Error(`No change is known for ${path}`);
    return {
      name: `${path} changed`,
      field: REFUSED_BY_FORM[path] ?? "signature",
      receipt: edit(receipt, path, (owner, key) => {
        owner[key] = change(owner[key] as never);
      }),
    };
  });
}

/** Every field, and every object, left out. */
export function droppedFields(receipt: Receipt): ReceiptMutation[] {
  return paths(receipt).map((path) => ({
    name: `${path} dropped`,
    field: path,
    receipt: edit(receipt, path, (owner, key) => {
      delete owner[key];
    }),
  }));
}

/** Every field, and every object, of another type. */
export function retypedFields(receipt: Receipt, values: readonly unknown[]): ReceiptMutation[] {
  return paths(receipt).flatMap((path) =>
    values.map((value) => ({
      name: `${path} set to ${String(value)}`,
      field: path,
      receipt: edit(receipt, path, (owner, key) => {
        owner[key] = value;
      }),
    }))
  );
}

/** A field too many in every object. */
export function addedFields(receipt: Receipt): ReceiptMutation[] {
  const objects = ["", ...paths(receipt).filter((path) => !leaves(receipt).includes(path))];
  return objects.flatMap((path) =>
    ["extra", "__proto__", "constructor"].map((name) => {
      const added = path === "" ? name : `${path}.${name}`;
      return {
        name: `${added} added`,
        field: added,
        receipt: edit(receipt, added, (owner, key) => {
          Object.defineProperty(owner, key, { value: 1, enumerable: true });
        }),
      };
    })
  );
}

function edit(
  receipt: Receipt,
  path: string,
  change: (owner: Fields, key: string) => void,
): Fields {
  const copy = structuredClone(receipt) as unknown as Fields;
  const parts = path.split(".");
  const key = parts.pop()!;
  change(parts.reduce((owner, part) => owner[part] as Fields, copy), key);
  return copy;
}

function paths(value: object, prefix = ""): string[] {
  return Object.entries(value).flatMap(([key, child]) =>
    typeof child === "object" && child !== null
      ? [prefix + key, ...paths(child, `${prefix}${key}.`)]
      : [prefix + key]
  );
}

function leaves(receipt: Receipt): string[] {
  const all = paths(receipt);
  return all.filter((path) => !all.some((other) => other.startsWith(`${path}.`)));
}

function flipLast(text: string): string {
  return text.slice(0, -1) + (text.endsWith("0") ? "1" : "0");
}

function plusOne(number: number): number {
  return number + 1;
}

function plusX(text: string): string {
  return `${text}x`;
}
