/**
 * Internal components of libp2p, and three corrected views of them for its services.
 *
 * @module
 */
import type { Connection, Stream, Upgrader } from "@libp2p/interface";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { quicAddress } from "../addresses.ts";
import { QuicTransport } from "../transports/quic.ts";
import { TcpTransport, type TransportComponents } from "../transports/tcp.ts";

/** An address of this node and its source. */
export interface OwnAddress {
  multiaddr: Multiaddr;
  type: "transport" | "announce" | "observed" | "dns-mapping" | "ip-mapping";
  verified: boolean;
}

/** The components of libp2p in use. Their types are in a package that libp2p does not export. */
export interface Libp2pComponents extends TransportComponents {
  upgrader: Upgrader;
  addressManager: {
    getAddresses(): Multiaddr[];
    getObservedAddrs(): Multiaddr[];
    getAddressesWithMetadata(): OwnAddress[];
  };
  transportManager: { listen(addresses: Multiaddr[]): Promise<void> };
  registrar: {
    handle(
      protocol: string,
      handler: (stream: Stream, connection: Connection) => void | Promise<void>,
      options?: unknown,
    ): Promise<void>;
  };
  connectionManager: {
    openConnection(address: Multiaddr, options?: { signal?: AbortSignal }): Promise<Connection>;
  };
}

/** A dial back that hangs must not hold the stream of who asked for it. */
const DIAL_BACK_TIMEOUT_MS = 5_000;

/**
 * For AutoNAT: a dial back is a new connection from a new port. libp2p would hand out (and then
 * close) the connection that the request came on; and a dial from our listening UDP port would pass
 * through the hole that the request made, and prove nothing.
 */
export function dialBackOnNewConnection(components: Libp2pComponents): Libp2pComponents {
  return view(components, "connectionManager", {
    openConnection(address, { signal = AbortSignal.timeout(DIAL_BACK_TIMEOUT_MS) } = {}) {
      const Transport = quicAddress(address) === null ? TcpTransport : QuicTransport;
      return new Transport(components).dial(address, { signal, upgrader: components.upgrader });
    },
  });
}

/**
 * For DCUtR: sends observed addresses to the peer although they are unverified. Behind a NAT they cannot be verified before both
 * sides punch.
 */
export function withObservedAddresses(components: Libp2pComponents): Libp2pComponents {
  const { addressManager } = components;
  return view(components, "addressManager", {
    getAddresses: () => [...addressManager.getAddresses(), ...addressManager.getObservedAddrs()],
  });
}

/** For UPnP, which maps UDP ports of `/quic-v1` only: a port is a port. */
export function withQuicListedAsV1(components: Libp2pComponents): Libp2pComponents {
  const { addressManager } = components;
  return view(components, "addressManager", {
    getAddressesWithMetadata: () =>
      addressManager.getAddressesWithMetadata().map((address) =>
        quicAddress(address.multiaddr) === null
          ? address
          : { ...address, multiaddr: multiaddr(`${address.multiaddr}-v1`) }
      ),
  });
}

function view<K extends keyof Libp2pComponents>(
  components: Libp2pComponents,
  part: K,
  changes: Partial<Libp2pComponents[K]>,
): Libp2pComponents {
  const changed = overlay(components[part], changes);
  return overlay(components, { [part]: changed } as Partial<Libp2pComponents>);
}

/** An object with some members replaced; methods keep their own `this`. */
export function overlay<T extends object>(target: T, changes: Partial<T>): T {
  return new Proxy(target, {
    get(object, key) {
      if (Object.hasOwn(changes, key)) return changes[key as keyof T];
      const value = Reflect.get(object, key, object);
      return typeof value === "function" ? value.bind(object) : value;
    },
  });
}
