import { assertEquals } from "@std/assert";
import { JOB_PROTOCOL } from "../../../lib/remote/wire/messages.ts";
import { byteStreamOf } from "../../../lib/remote/libp2p/network_binding.ts";
import { Disconnected } from "../../../lib/remote/wire/frame_channel.ts";
import { LIBP2P, TestNet } from "../../fixtures/p2p/nodes.ts";

/** Time limit for the write to fail, in milliseconds. */
const TIMEOUT_MS = 10_000;

for (const listen of ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/noise"]) {
  Deno.test(
    `byteStreamOf().abort() rejects a pending write when the peer does not read, ${listen}`,
    LIBP2P,
    async () => {
      await using net = new TestNet();
      const node = await net.start({ listen: [listen] });
      const failure = Promise.withResolvers<Error>();
      await node.handle(JOB_PROTOCOL, async (stream) => {
        const bytes = byteStreamOf(stream);
        const filling = (async () => {
          while (true) await bytes.write(new Uint8Array(250_000));
        })();
        filling.catch(failure.resolve);
        // Wait until the window is full and the current write is pending.
        while (!stream.writableNeedsDrain) await new Promise((resolve) => setTimeout(resolve, 1));
        bytes.abort(new Error("No progress"));
        await filling.catch(() => {});
      });
      const client = await net.startClient();
      const peerId = node.peerId;
      await client.addAddresses(peerId, node.addresses());
      const stream = await client.dialProtocol(peerId, JOB_PROTOCOL);
      stream.pause();
      stream.send(new Uint8Array(1));
      const guard = setTimeout(
        () => failure.resolve(new Error("The write is still pending")),
        TIMEOUT_MS,
      );
      const error = await failure.promise;
      clearTimeout(guard);
      assertEquals({ isDisconnected: error instanceof Disconnected, message: error.message }, {
        isDisconnected: true,
        message: "No progress",
      });
    },
  );
}
