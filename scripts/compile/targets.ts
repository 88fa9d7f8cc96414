/**
 * What binaries are made for.
 * @module
 */
import { VERSION } from "../../lib/core/version.ts";

/** A platform that plasm is compiled for. */
export interface Target {
  /** Rust's name of it, which Deno uses. */
  triple: string;
  /** Debian's name of its architecture; undefined where there is no package. */
  debian?: string;
}

/** The binaries of a release, and of `deno task compile` when it is not told otherwise. */
export const LINUX_TARGETS: readonly Target[] = [
  { triple: "x86_64-unknown-linux-gnu", debian: "amd64" },
  { triple: "aarch64-unknown-linux-gnu", debian: "arm64" },
];

/** Clients for macOS; only the official runtime exists for them. */
export const MACOS_TARGETS: readonly Target[] = [
  { triple: "aarch64-apple-darwin" },
  { triple: "x86_64-apple-darwin" },
];

/** All targets. */
export const TARGETS: readonly Target[] = [...LINUX_TARGETS, ...MACOS_TARGETS];

/** Name of a target's Debian package. */
export function packageName(target: Target, version: string = VERSION): string {
  return `plasm_${version}_${target.debian}.deb`;
}

/** Name of a target's archive. */
export function archiveName(target: Target): string {
  return `plasm-${VERSION}-${target.triple}.tar.gz`;
}

/** Everything that can be in {@linkcode DIST} for others to take, by path in it. */
export function productNames(): string[] {
  return [
    ...TARGETS.map(({ triple }) => `${triple}/plasm`),
    ...TARGETS.map(archiveName),
    ...LINUX_TARGETS.map((target) => packageName(target)),
  ];
}

/** Where everything that is built goes. */
export const DIST: URL = new URL("../../dist/", import.meta.url);

/** The binary of a target. */
export function binaryFile(target: Target): URL {
  return new URL(`${target.triple}/plasm`, DIST);
}
