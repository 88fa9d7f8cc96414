/**
 * Lists the platforms that plasm is compiled for.
 * @module
 */
import { VERSION } from "../../lib/core/mod.ts";

/** Compilation target. */
export interface Target {
  /** Rust target triple, as Deno names it. */
  triple: string;
  /** Debian architecture; undefined for targets without a package. */
  debian?: string;
}

/** Default targets of a release and of `deno task compile`. */
export const LINUX_TARGETS: readonly Target[] = [
  { triple: "x86_64-unknown-linux-gnu", debian: "amd64" },
  { triple: "aarch64-unknown-linux-gnu", debian: "arm64" },
];

/** macOS clients; available only with the official runtime. */
export const MACOS_TARGETS: readonly Target[] = [
  { triple: "aarch64-apple-darwin" },
  { triple: "x86_64-apple-darwin" },
];

/** All targets. */
export const TARGETS: readonly Target[] = [...LINUX_TARGETS, ...MACOS_TARGETS];

/** File name of a target's Debian package. */
export function packageName(target: Target, version: string = VERSION): string {
  return `plasm_${version}_${target.debian}.deb`;
}

/** File name of a target's archive. */
export function archiveName(target: Target): string {
  return `plasm-${VERSION}-${target.triple}.tar.gz`;
}

/** Release files by path relative to {@linkcode DIST}. */
export function productNames(): string[] {
  return [
    ...TARGETS.map(({ triple }) => `${triple}/plasm`),
    ...TARGETS.map(archiveName),
    ...LINUX_TARGETS.map((target) => packageName(target)),
  ];
}

/** Output directory of builds. */
export const DIST: URL = new URL("../../dist/", import.meta.url);

/** Path of a target's binary. */
export function binaryFile(target: Target): URL {
  return new URL(`${target.triple}/plasm`, DIST);
}
