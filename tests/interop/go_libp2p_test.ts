/**
 * Tests the network protocol against tests/interop/go, a client and a node on go-libp2p that were written from
 * docs/protocol.md; skipped with a message if Go or its modules are missing.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { multiaddr } from "@multiformats/multiaddr";
import { runRemoteJob } from "../../mod.ts";
import { ephemeralIdentity } from "../../lib/core/identity.ts";
import { createConnectionGater } from "../../lib/p2p/access/connection_gater.ts";
import { pathOf } from "../../lib/p2p/addresses.ts";
import { createNode } from "../../lib/p2p/libp2p_node.ts";
import { buildGoProgram } from "../fixtures/interop/go_program.ts";
import { LIBP2P } from "../fixtures/p2p/nodes.ts";
import { HELLO, realNode } from "../fixtures/remote/real_node.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

/** Runs the program to its end and returns its output. */
async function run(
  program: string,
  args: string[],
  { stdin = "" }: { stdin?: string } = {},
): Promise<string> {
  const child = new Deno.Command(program, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  // The program may exit without reading its input.
  await writer.write(new TextEncoder().encode(stdin)).catch(() => {});
  await writer.close().catch(() => {});
  const { success, stdout, stderr } = await child.output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** A Go node that is bootstrap node, relay and DHT server. */
async function serve(program: string): Promise<{ addresses: string[] } & AsyncDisposable> {
  const child = new Deno.Command(program, { args: ["serve"], stdin: "piped", stdout: "piped" })
    .spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let line = "";
  while (!line.endsWith("\n")) {
    const { value, done } = await reader.read();
    assert(!done, "the Go node ended");
    line += value;
  }
  return {
    addresses: JSON.parse(line),
    async [Symbol.asyncDispose]() {
      await child.stdin.close();
      await reader.cancel();
      await child.status;
    },
  };
}

Deno.test("a Go implementation interoperates", LIBP2P, async (t) => {
  await using temp = await tempDir();
  const program = await buildGoProgram(temp.path);
  if (program === undefined) return;
  const vectors = decodeURIComponent(new URL("../vectors", import.meta.url).pathname);

  await t.step("its codec and verifier agree with the vectors", async () => {
    const messages = await run(program, ["vectors", `${vectors}/messages.json`]);
    assertEquals(/^(\d+) frames, (\d+) refused/.exec(messages)?.slice(1), ["20", "33"]);
    const receipts = await run(program, ["receipts", `${vectors}/receipt.json`]);
    assert(Number(/, (\d+) refused/.exec(receipts)?.[1]) > 10, receipts);
  });

  await t.step("its client finds a node, runs a job and verifies the receipt", async () => {
    await using node = await realNode();
    const module = `${temp.path}/hello.wasm`;
    await Deno.writeFile(module, HELLO);
    const bootstrap = node.bootstrap.find((address) => address.includes("/tcp/"))!;
    // Both ways of sending standard input: with the offer and in chunks.
    for (const stdin of ["Hello, World", "Hello, World".repeat(20_000)]) {
      const result = JSON.parse(await run(program, ["run", bootstrap, module], { stdin }));
      assertEquals(result.stdout, stdin.split("").reverse().join(""));
      assertEquals(
        { peer: result.peer_id, code: result.exit_code, signer: result.receipt.run.node.peer_id },
        { peer: node.daemon.identity.peerId, code: 0, signer: node.daemon.identity.peerId },
      );
      // It stores the QUIC address, which it cannot dial, and uses TCP.
      assertMatch(result.dialed, /\/tcp\/\d+$/);
      assert(result.known.some((address: string) => address.endsWith("/noise")), result.known);
    }
  });

  await t.step("its node is bootstrap node and DHT server for a job", async () => {
    await using entry = await serve(program);
    await using node = await realNode({ "network.bootstrap": entry.addresses });
    const { peerId, stdout } = await runRemoteJob(HELLO, {
      bootstrap: entry.addresses,
      stdin: new TextEncoder().encode("Hello, World"),
    });
    assertEquals({ peerId, text: new TextDecoder().decode(stdout) }, {
      peerId: node.daemon.identity.peerId,
      text: "dlroW ,olleH",
    });
  });

  await t.step("its node relays connections", async () => {
    await using entry = await serve(program);
    await using stack = new AsyncDisposableStack();
    const start = async () => {
      const { secretKey } = await ephemeralIdentity();
      const node = await createNode({
        secretKey,
        listen: [],
        announce: [],
        mode: "client",
        allowPrivate: true,
        mdns: false,
        nat: { autonat: false, relayServer: false },
        limits: {},
        gater: createConnectionGater({ emit: () => {} }),
      });
      await node.libp2p.start();
      stack.defer(async () => await node.libp2p.stop());
      return node;
    };
    const [behind, client] = [await start(), await start()];
    // A relay that is named, because only public ones are chosen.
    const relayed = multiaddr(`${entry.addresses[0]}/p2p-circuit`);
    await behind.components.transportManager.listen([relayed]);
    const target = relayed.encapsulate(`/p2p/${behind.libp2p.peerId}`);
    const connection = await client.libp2p.dial(target);
    assertEquals({ peer: connection.remotePeer.toString(), path: pathOf(connection.remoteAddr) }, {
      peer: behind.libp2p.peerId.toString(),
      path: "relayed",
    });
    // go-libp2p allows 128 KiB, of which the handshake has used some.
    const { bytes = 0n } = connection.limits ?? {};
    assert(bytes > 100_000n && bytes < 131_072n, String(bytes));
  });
});
