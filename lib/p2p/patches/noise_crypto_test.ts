import { assert, assertEquals, assertThrows } from "@std/assert";
import { createCipheriv } from "node:crypto";
import { pureJsCrypto } from "@chainsafe/libp2p-noise";
import { generateKeyPair } from "@libp2p/crypto/keys";
import type { MessageStream } from "@libp2p/interface";
import { multiaddr } from "@multiformats/multiaddr";
import { noiseEncryption, probeNativeCipher, wholeMessageCrypto } from "./noise_crypto.ts";
import { SILENT_LOGGER } from "../network_events.ts";
import { type BytePipe, SocketConnection } from "../transports/socket_transport.ts";

/** Connection pair in memory that delivers each byte separately. */
function byteByByte(): SocketConnection[] {
  const channels = [new TransformStream<Uint8Array>(), new TransformStream<Uint8Array>()] as const;
  return ([["outbound", 0, 1], ["inbound", 1, 0]] as const).map(([direction, to, from]) => {
    const writer = channels[to].writable.getWriter();
    const reader = channels[from].readable.getReader();
    writer.closed.catch(() => {}); // rejects when the test ends
    const pipe: BytePipe = {
      read: async () => (await reader.read()).value ?? null,
      async write(data) {
        for (const byte of data) await writer.write(new Uint8Array([byte]));
      },
      finish: () => writer.close(),
      destroy: () => void reader.cancel(),
    };
    const remoteAddr = multiaddr("/ip4/127.0.0.1/tcp/1");
    const log = SILENT_LOGGER.forComponent("test");
    return new SocketConnection({ pipe, remoteAddr, direction, log });
  });
}

Deno.test("probeNativeCipher() agrees with a comparison to pure JavaScript", () => {
  const key = new Uint8Array(32).fill(7);
  const nonce = new Uint8Array(12).fill(9);
  const text = crypto.getRandomValues(new Uint8Array(5000));
  const expected = pureJsCrypto.chaCha20Poly1305Encrypt(text, nonce, new Uint8Array(), key);
  const isSame = (cuts: number[]) => {
    const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
    const bounds = [0, ...cuts, text.length];
    const native = bounds.slice(1).flatMap((end, i) => [
      ...cipher.update(text.subarray(bounds[i]!, end)),
    ]);
    native.push(...cipher.final(), ...cipher.getAuthTag());
    return new Uint8Array(native).toHex() === (expected as Uint8Array).toHex();
  };
  const found = isSame([1234]) ? "pieces" : isSame([]) ? "whole" : "none";
  assertEquals(probeNativeCipher(), found);
});

Deno.test("wholeMessageCrypto agrees with pure JavaScript and rejects a changed byte", () => {
  if (probeNativeCipher() === "none") return;
  const key = new Uint8Array(32).fill(1);
  const nonce = new Uint8Array(12).fill(2);
  const aad = new Uint8Array([3]);
  for (const length of [0, 1, 63, 64, 65, 1000, 1183, 1184, 1199, 1200, 65519]) {
    const text = new Uint8Array(length).fill(length);
    const ours = wholeMessageCrypto.chaCha20Poly1305Encrypt(text, nonce, aad, key).subarray();
    const theirs = pureJsCrypto.chaCha20Poly1305Encrypt(text, nonce, aad, key).subarray();
    assertEquals(ours, theirs);
    const opened = wholeMessageCrypto.chaCha20Poly1305Decrypt(theirs, nonce, aad, key);
    assertEquals(opened.subarray(), text);
    const changed = theirs.slice();
    changed[0]! ^= 1;
    assertThrows(() => wholeMessageCrypto.chaCha20Poly1305Decrypt(changed, nonce, aad, key));
  }
});

Deno.test("pure JavaScript computes the vector of RFC 8439", () => {
  // A typing error in the vector would silently disable the native cipher.
  const sealed = pureJsCrypto.chaCha20Poly1305Encrypt(
    new TextEncoder().encode(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the " +
        "future, sunscreen would be it.",
    ),
    Uint8Array.fromHex("070000004041424344454647"),
    Uint8Array.fromHex("50515253c0c1c2c3c4c5c6c7"),
    Uint8Array.fromHex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"),
  );
  assert((sealed as Uint8Array).toHex().endsWith("1ae10b594f09e26a7e902ecbd0600691"));
});

Deno.test("pure JavaScript computes the other tags of probeNativeCipher()", async () => {
  const source = await Deno.readTextFile(new URL("noise_crypto.ts", import.meta.url));
  for (const length of [0, 65_519]) {
    const sealed = pureJsCrypto.chaCha20Poly1305Encrypt(
      new Uint8Array(length),
      Uint8Array.fromHex("070000004041424344454647"),
      Uint8Array.fromHex("50515253c0c1c2c3c4c5c6c7"),
      Uint8Array.fromHex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"),
    );
    assert(source.includes(sealed.subarray(-16).toHex()), `${length}`);
  }
});

Deno.test("noiseEncryption() decrypts messages that arrive byte by byte", async () => {
  const side = async (): Promise<ReturnType<ReturnType<typeof noiseEncryption>>> =>
    noiseEncryption()(
      {
        privateKey: await generateKeyPair("Ed25519"),
        logger: SILENT_LOGGER,
        upgrader: { getStreamMuxers: () => new Map() },
      } as unknown as Parameters<ReturnType<typeof noiseEncryption>>[0],
    );
  const [here, there] = byteByByte();
  const [{ connection: out }, { connection: into }] = await Promise.all([
    (await side()).secureOutbound(here!),
    (await side()).secureInbound(there!),
  ]);

  const received = Promise.withResolvers<void>();
  const bytes: number[] = [];
  (into as MessageStream).addEventListener("message", ({ data }) => {
    bytes.push(...data.subarray());
    if (bytes.length === 6) received.resolve();
  });
  out.send(new Uint8Array([1, 2, 3]));
  out.send(new Uint8Array([4, 5, 6]));
  await received.promise;
  assertEquals(bytes, [1, 2, 3, 4, 5, 6]);
  out.abort(new Error("Test ended"));
  into.abort(new Error("Test ended"));
});
