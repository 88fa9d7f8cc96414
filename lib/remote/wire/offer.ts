/**
 * Whether an offer says one thing: its parts must agree before anybody is asked to run it.
 * @module
 */
import { checkManifest, EMPTY_HASH, type Manifest, manifestHash } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { type BlobRef, CLOCK_SKEW_MS, type MessageOf, OFFER_VALID_MS } from "./messages.ts";

function mismatch(field: string, why: string): PlasmError {
  return new PlasmError("protocol", `Cannot accept offer: ${why}`, { details: { field } });
}

/**
 * Checks an offer against itself and the clock.
 *
 * @returns its manifest
 * @throws {PlasmError} `protocol`, `bad-manifest`
 */
export async function checkOffer(offer: MessageOf<"offer">, now: number): Promise<Manifest> {
  const { expires_at } = offer;
  if (now > expires_at + CLOCK_SKEW_MS) {
    throw mismatch(
      "expires_at",
      `it expired at ${timeText(expires_at)}, here it is ${timeText(now)}`,
    );
  }
  if (expires_at > now + OFFER_VALID_MS + CLOCK_SKEW_MS) {
    throw mismatch(
      "expires_at",
      `it expires at ${timeText(expires_at)}, more than ${OFFER_VALID_MS} ms from now, ` +
        `here it is ${timeText(now)}`,
    );
  }
  const manifest = checkManifest(offer.manifest);
  const hash = await manifestHash(manifest);
  if (hash !== offer.manifest_hash) {
    throw mismatch(
      "manifest_hash",
      `manifest_hash is ${offer.manifest_hash}, it hashes to ${hash}`,
    );
  }
  checkBlobs(offer, manifest);
  const { stdin, stdin_data: data } = offer;
  if (data !== null && data.length !== stdin.size) {
    throw mismatch("stdin_data", `stdin has ${stdin.size} bytes, ${data.length} came`);
  }
  return manifest;
}

function checkBlobs({ module, stdin, inputs }: MessageOf<"offer">, manifest: Manifest): void {
  if (module.hash !== manifest.module_hash) {
    throw mismatch(
      "module.hash",
      `module is ${module.hash}, manifest names ${manifest.module_hash}`,
    );
  }
  const bound = manifest.stdin_hash;
  if (bound !== undefined && bound !== stdin.hash) {
    throw mismatch("stdin.hash", `stdin is ${stdin.hash}, manifest names ${bound}`);
  }
  const named = new Set(Object.values(manifest.inputs ?? {}));
  named.delete(EMPTY_HASH);
  const given = new Set(inputs.map(({ hash }) => hash));
  if (given.size !== inputs.length || given.symmetricDifference(named).size > 0) {
    throw mismatch("inputs", "its inputs are not those that the manifest names, each once");
  }
  const sizes = new Map<string, number>([[EMPTY_HASH, 0]]);
  for (const { hash, size } of [module, stdin, ...inputs]) {
    const known = sizes.get(hash);
    if ((known !== undefined && known !== size) || (size === 0) !== (hash === EMPTY_HASH)) {
      throw mismatch("size", `${hash} has ${size} bytes, which cannot be`);
    }
    sizes.set(hash, size);
  }
}

/** What an offer says of its job: the same as often as it is made. */
export type OfferedJob = Omit<MessageOf<"offer">, "stdin_data">;

/** Whether two offers of one peer, both checked, are one and the same. */
export function isSameOffer(one: OfferedJob, other: OfferedJob): boolean {
  const text = ({ nonce, manifest_hash, module, stdin, inputs, begin }: OfferedJob): string =>
    JSON.stringify([nonce, manifest_hash, begin, ...[module, stdin, ...inputs].map(sizeText)]);
  return text(one) === text(other);
}

function sizeText({ hash, size }: BlobRef): string {
  return `${hash} ${size}`;
}

/** All content of an offer that has bytes, each once; the module first. */
export function contentOf(
  { module, stdin, inputs }: { module: BlobRef; stdin: BlobRef; inputs: readonly BlobRef[] },
): BlobRef[] {
  const refs = new Map<string, BlobRef>();
  for (const ref of [module, stdin, ...inputs]) if (ref.size > 0) refs.set(ref.hash, ref);
  return [...refs.values()];
}

function timeText(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? String(time) : date.toISOString();
}
