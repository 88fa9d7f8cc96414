import { assertEquals } from "@std/assert";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import {
  type Libp2pComponents,
  type OwnAddress,
  withObservedAddresses,
  withQuicListedAsV1,
} from "./libp2p_components.ts";

const KNOWN = "/ip4/192.0.2.1/tcp/4001";
const OBSERVED = "/ip4/198.51.100.7/udp/4001/quic";

class AddressManager {
  #known = [multiaddr(KNOWN)];

  getAddresses(): Multiaddr[] {
    return this.#known;
  }

  getObservedAddrs(): Multiaddr[] {
    return [multiaddr(OBSERVED)];
  }

  getAddressesWithMetadata(): OwnAddress[] {
    return [KNOWN, OBSERVED].map((text) => ({
      multiaddr: multiaddr(text),
      type: "transport",
      verified: true,
    }));
  }
}

function components(): Libp2pComponents {
  return {
    addressManager: new AddressManager(),
    logger: "untouched",
  } as unknown as Libp2pComponents;
}

Deno.test("withObservedAddresses() adds observed addresses and leaves the original alone", () => {
  const original = components();
  const { addressManager } = withObservedAddresses(original);
  assertEquals(addressManager.getAddresses().map(String), [KNOWN, OBSERVED]);
  assertEquals(addressManager.getObservedAddrs().map(String), [OBSERVED]);
  assertEquals(original.addressManager.getAddresses().map(String), [KNOWN]);
});

Deno.test("withQuicListedAsV1() renames QUIC only", () => {
  const view = withQuicListedAsV1(components());
  const shown = view.addressManager.getAddressesWithMetadata();
  assertEquals(shown.map(({ multiaddr }) => multiaddr.toString()), [KNOWN, `${OBSERVED}-v1`]);
  assertEquals(shown.map(({ verified }) => verified), [true, true]);
  assertEquals(view.logger as unknown, "untouched");
});
