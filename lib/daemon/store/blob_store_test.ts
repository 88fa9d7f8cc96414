import { assert, assertEquals, assertRejects } from "@std/assert";
import { end, HASH, newJob, testStore } from "../../../tests/fixtures/job_stores.ts";
import { tempDir } from "../../../tests/fixtures/temp_dir.ts";
import { PlasmError } from "../../core/errors/errors.ts";
import { sha256 } from "../../core/hash.ts";
import { FileWriter } from "./blob_store.ts";
import { JobStore } from "./store.ts";

function stream(data: Uint8Array): ReadableStream<Uint8Array> {
  return new Blob([data as Uint8Array<ArrayBuffer>]).stream();
}

Deno.test("BlobStore.put() stores a blob only when its hash matches", async () => {
  await using fixture = await testStore();
  const { store, dir } = fixture;
  const data = new Uint8Array(300_000).fill(7);
  const hash = await sha256(data);
  const options = { hash, maxBytes: 300_000, what: "module" };
  assertEquals(await store.blobs.put(stream(data), options), { hash, size: 300_000 });
  assertEquals(await store.blobs.read(hash, "module"), data);
  const other = await assertRejects(
    () => store.blobs.put(stream(data.subarray(1)), options),
    PlasmError,
    hash,
  );
  assertEquals(other.code, "bad-input");
  const large = await assertRejects(
    () => store.blobs.put(stream(data), { ...options, maxBytes: 299_999 }),
    PlasmError,
    "it has more than the 299999 bytes that jobs.ceilings.module_bytes allows",
  );
  assertEquals(large.code, "over-limit");
  assertEquals([...Deno.readDirSync(`${dir}/blobs`)].length, 1);
  await assertRejects(() => store.blobs.read(HASH, "module"), PlasmError, "Cannot read module");
});

Deno.test("BlobStore.put() rejects an upload when concurrent ones fill the cache", async () => {
  await using fixture = await testStore({ cacheBytes: 1000 });
  const { store, dir } = fixture;
  const [first, second] = [new Uint8Array(600), new Uint8Array(500).fill(1)];
  const held = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield first.subarray(0, 550);
    begun.resolve();
    await held.promise;
    yield first.subarray(550);
  }
  const options = { maxBytes: 1000, what: "module" };
  const firstHash = await sha256(first);
  const secondHash = await sha256(second);
  const receiving = store.blobs.put(slow(), { ...options, hash: firstHash });
  await begun.promise;
  const error = await assertRejects(
    () => store.blobs.put(stream(second), { ...options, hash: secondHash }),
    PlasmError,
    "550 bytes are being received, cache allows 1000 at once",
  );
  assertEquals({ code: error.code, retryable: error.retryable }, {
    code: "queue-full",
    retryable: true,
  });
  held.resolve();
  await receiving;
  // The first blob is evicted for it.
  await store.blobs.put(stream(second), { ...options, hash: secondHash });
  assertEquals([...Deno.readDirSync(`${dir}/blobs`)].map(({ name }) => name), [
    secondHash.slice(7),
  ]);
  const large = await assertRejects(
    () =>
      store.blobs.put(stream(new Uint8Array(1001)), {
        ...options,
        hash: firstHash,
        maxBytes: 1e6,
      }),
    PlasmError,
    "that cache.max_bytes allows",
  );
  assertEquals(large.code, "over-limit");
});

Deno.test("BlobStore.read() deletes the blob when it is corrupt", async () => {
  await using fixture = await testStore();
  const { store, dir } = fixture;
  const data = new Uint8Array(100);
  const hash = await sha256(data);
  await store.blobs.put(stream(data), { hash, maxBytes: 1000, what: "module" });
  await Deno.writeFile(`${dir}/blobs/${hash.slice(7)}`, new Uint8Array(100).fill(1));
  const error = await assertRejects(
    () => store.blobs.read(hash, "module"),
    PlasmError,
    "damaged",
  );
  assertEquals(error.code, "state");
  assertEquals(store.blobs.info(hash), undefined);
});

Deno.test("BlobStore.put() evicts the least recently used blob unless a queued job needs it", async () => {
  await using fixture = await testStore({ cacheBytes: 1000 });
  const { store } = fixture;
  const put = async (fill: number): Promise<string> => {
    const data = new Uint8Array(400).fill(fill);
    const hash = await sha256(data);
    await store.blobs.put(stream(data), { hash, maxBytes: 1000, what: "module" });
    return hash;
  };
  const [one, two] = [await put(1), await put(2)];
  const job = newJob({ createdAt: Date.now() + 1000 });
  await store.accept(job, { blobs: [one], position: 0 });
  const three = await put(3);
  assertEquals(
    [one, two, three].map((hash) => store.blobs.info(hash) !== undefined),
    [true, false, true],
  );
  await store.accept(newJob(), { blobs: [three], position: 0 });
  const error = await assertRejects(
    () => put(4),
    PlasmError,
    "asked 400 bytes, 200 of 1000 can be freed",
  );
  assertEquals({ code: error.code, retryable: error.retryable }, {
    code: "queue-full",
    retryable: true,
  });
  await end(store, store.get(job.id)!, 5);
  await put(4);
  assertEquals(store.blobs.info(one), undefined);
  assert(store.blobs.stats.bytes <= 1000);
});

Deno.test("BlobStore() reconciles table and directory after a crash", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const data = new Uint8Array(10);
  const hash = await sha256(data);
  {
    using store = new JobStore(dir, { cacheBytes: 1e6 });
    await store.blobs.put(stream(data), { hash, maxBytes: 1000, what: "module" });
  }
  await Deno.rename(`${dir}/blobs/${hash.slice(7)}`, `${dir}/blobs/${"a".repeat(64)}`);
  await Deno.writeTextFile(`${dir}/blobs/half.tmp`, "x");
  using store = new JobStore(dir, { cacheBytes: 1e6 });
  assertEquals(store.blobs.info(hash), undefined);
  assertEquals(store.blobs.info(`sha256:${"a".repeat(64)}`)?.size, 10);
  assertEquals([...Deno.readDirSync(`${dir}/blobs`)].length, 1);
});

/** Bytes that are not the same anywhere. */
function bytesOf(length: number): Uint8Array {
  return new Uint8Array(length).map((_, at) => at ^ (at >>> 8) ^ (at >>> 16));
}

Deno.test("FileWriter writes all bytes when chunks have any length", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  // Long enough to start background syncs.
  const bytes = bytesOf(9_300_001);
  // Chunks below a page, of one page, of a fraction of pages, and all at once.
  const lengths = [1021, 4096, 70_001, 1_000_000, bytes.length];
  await Promise.all(lengths.map(async (length, n) => {
    const path = `${dir}/${n}`;
    using writer = await FileWriter.create(path);
    const piece = new Uint8Array(length);
    for (let at = 0; at < bytes.length; at += piece.length) {
      const part = bytes.subarray(at, at + piece.length);
      piece.set(part);
      await writer.write(piece.subarray(0, part.length));
      piece.fill(0); // write() must have copied it
    }
    await writer.end();
    assertEquals(await Deno.readFile(path), bytes);
  }));
});

Deno.test("FileWriter.create() leaves the file unchanged when it exists", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const path = `${dir}/file`;
  await Deno.writeTextFile(path, "before");
  await assertRejects(() => FileWriter.create(path), Deno.errors.AlreadyExists);
  assertEquals(await Deno.readTextFile(path), "before");
});

Deno.test("FileWriter.write() fails when the file cannot be written", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const writer = await FileWriter.create(`${dir}/file`);
  writer[Symbol.dispose]();
  await assertRejects(() => writer.write(bytesOf(10_000)));
});

Deno.test("FileWriter.end() fails when the last page cannot be written", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const writer = await FileWriter.create(`${dir}/file`);
  await writer.write(bytesOf(10));
  writer[Symbol.dispose]();
  await assertRejects(() => writer.end());
});
