import { assert, assertEquals } from "@std/assert";
import { FakeHost } from "../../../tests/fixtures/fake_guest.ts";
import type { NondeterminismSource } from "../../core/mod.ts";
import { wasiFunctions } from "../../wasm/component/mod.ts";
import type {
  ComponentValue,
  ResourceValue,
  VariantValue,
} from "../../wasm/component/runtime/mod.ts";
import type { FileInput } from "../fs/inputs.ts";
import type { DeterministicOptions } from "../job_system.ts";
import { createPreview2, type Preview2 } from "./preview2.ts";

const RESULTLESS = { text: "()", parameters: [], result: undefined };
const LIMITS = { fsBytes: 100_000, fsInodes: 20 };
const TYPES = "wasi:filesystem/types";
const STREAMS = "wasi:io/streams";

interface TestOptions {
  inputs?: FileInput[];
  host?: FakeHost;
  deterministic?: DeterministicOptions;
  openFds?: number;
}

/** Calls functions of WASI 0.2 as a component would. */
class Caller {
  readonly wasi: Preview2;
  readonly sources: NondeterminismSource[] = [];

  constructor(
    { inputs = [], host = new FakeHost(), deterministic, openFds = 10 }: TestOptions = {},
  ) {
    this.wasi = createPreview2({
      args: ["program", "word"],
      env: { B: "2", A: "1" },
      inputs,
      limits: { ...LIMITS, openFds },
      host,
      deterministic,
      onNondeterminism: (source) => this.sources.push(source),
      exit: (code) => {
        throw new Error(`exit ${code}`);
      },
    });
  }

  call(interfaceName: string, name: string, ...values: ComponentValue[]): ComponentValue {
    return this.wasi.func(interfaceName, name, RESULTLESS)(...values);
  }

  /** Calls a method that returns a result. */
  method(interfaceName: string, name: string, ...values: ComponentValue[]): VariantValue {
    return this.call(interfaceName, `[method]${name}`, ...values) as VariantValue;
  }

  descriptor(name: string, ...values: ComponentValue[]): VariantValue {
    return this.method(TYPES, `descriptor.${name}`, ...values);
  }

  /** The preopened directories. */
  preopens(): [ResourceValue, string][] {
    return this.call("wasi:filesystem/preopens", "get-directories") as [ResourceValue, string][];
  }

  /** Opens a path below the root. */
  open(path: string, openFlags: number, flags: number): VariantValue {
    const [[root]] = this.preopens() as [[ResourceValue, string]];
    const opened = this.descriptor("open-at", root, 1, path, openFlags, flags);
    this.wasi.drop("descriptor", root.rep);
    return opened;
  }
}

const CREATE = 1;
const READ = 1;
const WRITE = 2;

const text = (value: ComponentValue): string =>
  new TextDecoder().decode((value as Uint8Array).slice());
const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);
const failure = (code: number): VariantValue => ({ tag: 1, value: { tag: code } });

Deno.test("createPreview2() implements every function that the linker accepts", () => {
  const { wasi } = new Caller();
  const functions = wasiFunctions();
  for (const [interfaceName, name] of functions) wasi.func(interfaceName, name, RESULTLESS);
  assertEquals(functions.length, 73);
});

Deno.test("wasi:cli returns arguments and the sorted environment", () => {
  const caller = new Caller();
  const environment = "wasi:cli/environment";
  assertEquals(caller.call(environment, "get-arguments"), ["program", "word"]);
  assertEquals(caller.call(environment, "get-environment"), [["A", "1"], ["B", "2"]]);
  assertEquals(caller.call(environment, "initial-cwd"), { tag: 0 });
});

Deno.test("wasi:filesystem writes, reads, lists and removes files", () => {
  const caller = new Caller({
    inputs: [{ path: "in/" }, { path: "in/file", data: bytes("text") }],
  });
  assertEquals(caller.preopens().map(([, name]) => name), ["/", "in"]);
  const opened = caller.open("new", CREATE, READ | WRITE);
  assertEquals(opened.tag, 0);
  const file = opened.value!;
  assertEquals(caller.descriptor("write", file, bytes("hello"), 2n), { tag: 0, value: 5n });
  const [content, ended] = caller.descriptor("read", file, 100n, 1n).value as [Uint8Array, boolean];
  assertEquals([text(content), ended], ["\0hello", true]);
  assertEquals(caller.descriptor("set-size", file, 3n), { tag: 0, value: undefined });
  const [type, links, size] = caller.descriptor("stat", file).value as ComponentValue[];
  assertEquals([type, links, size], [{ tag: 6 }, 1n, 3n]);
  const stream = caller.descriptor("append-via-stream", file).value!;
  assertEquals(caller.method(STREAMS, "output-stream.write", stream, bytes("!")).tag, 0);
  const reading = caller.descriptor("read-via-stream", file, 2n).value!;
  const first = caller.method(STREAMS, "input-stream.blocking-read", reading, 10n);
  assertEquals(text(first.value), "h!");
  assertEquals(
    caller.method(STREAMS, "input-stream.blocking-read", reading, 10n),
    { tag: 1, value: { tag: 1 } },
  );
  caller.wasi.drop("input-stream", (reading as ResourceValue).rep);
  caller.wasi.drop("output-stream", (stream as ResourceValue).rep);
  caller.wasi.drop("descriptor", (file as ResourceValue).rep);

  const [[root]] = caller.preopens() as [[ResourceValue, string]];
  assertEquals(caller.descriptor("rename-at", root, "new", root, "in/moved").tag, 0);
  assertEquals(caller.descriptor("symlink-at", root, "in/moved", "link").tag, 0);
  assertEquals(caller.descriptor("readlink-at", root, "link"), { tag: 0, value: "in/moved" });
  const entries = caller.descriptor("read-directory", root).value!;
  const next = () => caller.method(TYPES, "directory-entry-stream.read-directory-entry", entries);
  assertEquals(next().value, { tag: 1, value: [{ tag: 3 }, "in"] });
  assertEquals(next().value, { tag: 1, value: [{ tag: 5 }, "link"] });
  assertEquals(next().value, { tag: 0 });
  assertEquals(caller.descriptor("remove-directory-at", root, "in"), failure(25));
  assertEquals(caller.descriptor("unlink-file-at", root, "in/moved").tag, 0);
  assertEquals(caller.descriptor("stat-at", root, 1, "link"), failure(20));
});

Deno.test("wasi:filesystem returns an error for each wrong use", () => {
  const caller = new Caller({ inputs: [{ path: "file", data: bytes("text") }], openFds: 4 });
  assertEquals(caller.open("missing", 0, READ), failure(20));
  assertEquals(caller.open("../above", 0, READ), failure(31));
  assertEquals(caller.open("a\0b", 0, READ), failure(12));
  assertEquals(caller.open("x".repeat(5000), 0, READ), failure(18));
  assertEquals(caller.open("file/", 0, READ), failure(24));
  assertEquals(caller.open("file", CREATE | 4, READ), failure(7));
  const { value: file } = caller.open("file", 0, READ);
  assertEquals(caller.descriptor("write", file, bytes("x"), 0n), failure(3));
  assertEquals(caller.descriptor("read", file, 1n, 2n ** 63n), failure(12));
  assertEquals(caller.descriptor("open-at", file, 0, "x", 0, READ), failure(24));
  const opened = [1, 2, 3].map(() => caller.open("file", 0, READ).tag);
  assertEquals(opened, [0, 0, 1], "the limit of open descriptors");
});

Deno.test("wasi:io reports how a write failed", () => {
  const caller = new Caller();
  const { value: file } = caller.open("file", CREATE, WRITE);
  const stream = caller.descriptor("write-via-stream", file, 0n).value!;
  const large = new Uint8Array(LIMITS.fsBytes + 1);
  const failed = caller.method(STREAMS, "output-stream.blocking-write-and-flush", stream, large);
  const { tag, value: error } = failed.value as VariantValue;
  assertEquals([failed.tag, tag], [1, 0]);
  assertEquals(caller.call(TYPES, "filesystem-error-code", error), { tag: 1, value: { tag: 23 } });
});

Deno.test("wasi:io waits for standard input and clocks, and records what it reveals", () => {
  const host = new FakeHost({
    ended: false,
    onWait: (_ms, watchStdin) => {
      if (watchStdin) host.stdin = bytes("late");
    },
  });
  const caller = new Caller({ host });
  const stdin = caller.call("wasi:cli/stdin", "get-stdin");
  const early = caller.method(STREAMS, "input-stream.read", stdin, 10n);
  assertEquals([early.tag, text(early.value)], [0, ""]);
  const readable = caller.method(STREAMS, "input-stream.subscribe", stdin) as ComponentValue;
  const writable = caller.method(STREAMS, "output-stream.subscribe", stdin) as ComponentValue;
  assertEquals(caller.call("wasi:io/poll", "poll", [readable, writable]), [1]);
  caller.method("wasi:io/poll", "pollable.block", readable);
  const late = caller.method(STREAMS, "input-stream.read", stdin, 3n);
  assertEquals(text(late.value), "lat");
  assertEquals(caller.sources, ["poll"]);
});

Deno.test("wasi:clocks and wasi:random are the same in each deterministic run", () => {
  const observe = (): unknown[] => {
    const caller = new Caller({ deterministic: { seed: new Uint8Array(32), epochMs: 5000 } });
    const now = () => caller.call("wasi:clocks/monotonic-clock", "now");
    const first = now();
    const pollable = caller.call(
      "wasi:clocks/monotonic-clock",
      "subscribe-duration",
      1_000_000_000_000n,
    );
    caller.method("wasi:io/poll", "pollable.block", pollable);
    const slept = (now() as bigint) - (first as bigint);
    assert(slept >= 1_000_000_000_000n);
    assertEquals(caller.sources, []);
    return [
      first,
      slept,
      caller.call("wasi:clocks/wall-clock", "now"),
      caller.call("wasi:random/random", "get-random-u64"),
      text(caller.call("wasi:random/random", "get-random-bytes", 8n)),
    ];
  };
  assertEquals(observe(), observe());
});

Deno.test("wasi:sockets and wasi:http deny what they are asked for", () => {
  const { wasi } = new Caller();
  const layout = { size: 4, align: 4, flat: [] };
  const errors = {
    kind: "variant" as const,
    text: "enum{unknown, access-denied, not-supported}",
    cases: [undefined, undefined, undefined],
    discriminantBytes: 1,
    payload: 1,
    ...layout,
  };
  const result = {
    ...errors,
    text: `result<_, ${errors.text}>`,
    cases: [undefined, errors],
  };
  const create = wasi.func("wasi:sockets/tcp-create-socket", "create-tcp-socket", {
    text: "",
    parameters: [],
    result,
  });
  assertEquals(create(), { tag: 1, value: { tag: 1 } });
});
