import { assertEquals } from "@std/assert";
import { JOB_PROTOCOL } from "../../../lib/remote/wire/messages.ts";
import { byteStreamOf, Disconnected } from "../../../lib/remote/wire/byte_stream.ts";
import { LIBP2P, TestNet } from "../../fixtures/p2p/nodes.ts";

/** The longest wait for what never comes, in milliseconds. */
const PATIENCE_MS = 10_000;

for (const listen of ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic"]) {
  Deno.test(
    `ByteStream.abort() ends a write that waits for a reader who does not read, ${listen}`,
    LIBP2P,
    async () => {
      await using net = new TestNet();
      const node = await net.start({ listen: [listen] });
      const over = Promise.withResolvers<Error>();
      await node.handle(JOB_PROTOCOL, async (stream) => {
        const duplex = byteStreamOf(stream);
        const filling = (async () => {
          while (true) await duplex.write(new Uint8Array(250_000));
        })();
        filling.catch(over.resolve);
        // Until the window is full: the write under way can only wait.
        while (!stream.writableNeedsDrain) await new Promise((resolve) => setTimeout(resolve, 1));
        duplex.abort(new Error("Nothing moved"));
        await filling.catch(() => {});
      });
      const client = await net.startClient();
      const peerId = node.peerId;
      await client.noteAddresses(peerId, node.addresses());
      const stream = await client.dialProtocol(peerId, JOB_PROTOCOL);
      stream.pause();
      stream.send(new Uint8Array(1));
      const guard = setTimeout(() => over.resolve(new Error("It still waits")), PATIENCE_MS);
      const error = await over.promise;
      clearTimeout(guard);
      assertEquals([error instanceof Disconnected, error.message], [true, "Nothing moved"]);
    },
  );
}
