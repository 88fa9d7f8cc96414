import { assertEquals, assertGreater } from "@std/assert";
import { verifyReceipt } from "../../../lib/core/verify_receipt.ts";
import { findLinkKind, LinkLab } from "../../fixtures/remote/link_lab.ts";
import { HELLO, padded } from "../../fixtures/remote/real_node.ts";

const found = await findLinkKind();
if ("missing" in found) {
  console.log(
    "SKIPPED: jobs between network namespaces need root, iproute2, and netem or python3 and TAP: " +
      found.missing,
  );
} else console.log(`Links between network namespaces: ${found.kind}`);

const MODULE_BYTES = 20 * 2 ** 20;
/** Bytes of the module after which the link is cut. */
const CUT_AT_BYTES = 6 * 2 ** 20;
/** How long the link is down, in milliseconds. */
const DOWN_MS = 5_000;

/** Size of incomplete content, in bytes. */
async function incompleteBytes(dir: string): Promise<number> {
  let bytes = 0;
  for await (const { name } of Deno.readDir(dir)) {
    if (name.endsWith(".tmp")) {
      bytes += (await Deno.stat(`${dir}/${name}`).catch(() => null))?.size ?? 0;
    }
  }
  return bytes;
}

const TRANSPORTS = { tcp: "/ip4/10.9.0.2/tcp/4001", quic: "/ip4/10.9.0.2/udp/4001/noise" };

for (const [transport, listen] of Object.entries(TRANSPORTS)) {
  Deno.test(
    `a 20 MB job survives a slow, lossy link that is cut once, by ${transport}`,
    { ignore: "missing" in found },
    async () => {
      if ("missing" in found) return;
      await using lab = await LinkLab.create(found.kind);
      const address = await lab.startNode(listen);
      const module = padded(HELLO, MODULE_BYTES);
      await Deno.writeFile(`${lab.dir}/large.wasm`, module);
      const client = lab.spawn("near", [
        "exec",
        "--remote",
        "--json",
        "--peer",
        address,
        `${lab.dir}/large.wasm`,
      ]);
      const result = client.output();
      while (await incompleteBytes(`${lab.dir}/far/blobs`) < CUT_AT_BYTES) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await lab.setLink("down");
      await new Promise((resolve) => setTimeout(resolve, DOWN_MS));
      await lab.setLink("up");
      const { code, stdout, stderr } = await result;
      assertEquals(code, 0, new TextDecoder().decode(stderr));
      const { receipt, attempts, node } = JSON.parse(new TextDecoder().decode(stdout));
      const empty = new Uint8Array();
      await verifyReceipt(receipt, { peerId: node, module, stdin: empty, stdout: empty });
      assertEquals({ attemptsLength: attempts.length, ran: attempts[0].ran }, {
        attemptsLength: 1,
        ran: "yes",
      });
      assertGreater(attempts[0].sentBytes, MODULE_BYTES - 1);
    },
  );
}
