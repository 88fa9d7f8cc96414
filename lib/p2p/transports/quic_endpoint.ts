/**
 * UDP sockets shared by a QUIC listener and the dials that leave from its port.
 *
 * Deno lets go of a closed endpoint's port only when its objects are garbage collected, so a
 * listener that was closed cannot be sure to get its port again in the same process.
 * @module
 */

/** One bound UDP socket, closed when its last user lets go. */
export class SharedEndpoint {
  readonly endpoint: Deno.QuicEndpoint;
  #users = 0;
  #onIdle: () => void;

  constructor(options: { hostname: string; port: number }, onIdle: () => void) {
    this.endpoint = new Deno.QuicEndpoint(options);
    this.#onIdle = onIdle;
  }

  /** Takes a share. The returned function gives it back, once. */
  share(): () => void {
    this.#users++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#users--;
      if (this.#users > 0) return;
      this.endpoint.close();
      this.#onIdle();
    };
  }
}

/** The sockets of one transport. */
export class EndpointPool {
  #listening = new Map<SharedEndpoint, string>();
  #dialing = new Map<string, SharedEndpoint>();

  /**
   * Binds a socket for a listener; the returned function gives it back.
   *
   * @throws {Deno.errors.AddrInUse} where the port is taken
   */
  listen(options: { hostname: string; port: number }): [SharedEndpoint, () => void] {
    const shared = new SharedEndpoint(options, () => {});
    const release = shared.share();
    this.#listening.set(shared, options.hostname);
    return [shared, () => {
      this.#listening.delete(shared);
      release();
    }];
  }

  /**
   * A socket to dial from. Where we listen on all addresses of the family it is that one: packets
   * from the listening port open the NAT for those to it, which is what hole punching needs.
   */
  dial(ipv6: boolean): SharedEndpoint {
    const any = ipv6 ? "::" : "0.0.0.0";
    for (const [shared, hostname] of this.#listening) if (hostname === any) return shared;
    const shared = this.#dialing.get(any) ??
      new SharedEndpoint({ hostname: any, port: 0 }, () => this.#dialing.delete(any));
    this.#dialing.set(any, shared);
    return shared;
  }
}
