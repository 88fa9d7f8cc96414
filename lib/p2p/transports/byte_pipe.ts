/**
 * What the transports have in common: a duplex of bytes.
 * @module
 */

/** A duplex of bytes over one socket. Never read or written twice at the same time. */
export interface BytePipe {
  /** The next bytes, null once the other side has ended its writing. Each result is a new buffer. */
  read(): Promise<Uint8Array | null>;
  /** Resolves when the transport has taken all bytes. */
  write(data: Uint8Array): Promise<void>;
  /** Ends writing after what was written; the other side reads to the end. */
  finish(): Promise<void>;
  /** Releases the socket. What is under way fails. May be called again. */
  destroy(): void;
}

/** A socket that someone opened to us. */
export interface AcceptedPipe {
  pipe: BytePipe;
  remote: Deno.NetAddr;
}

/** A bound socket. */
export interface PipeServer {
  /** Where it is bound, the port filled in. */
  readonly address: Deno.NetAddr;
  /**
   * Takes connections until {@linkcode PipeServer.close}. The handler is called for each; a
   * connection that fails before it is whole is dropped silently.
   */
  accept(handler: (accepted: AcceptedPipe) => void): Promise<void>;
  /** Stops accepting. What was accepted lives on. May be called again. */
  close(): void;
}

/** Whether an error says that the other side tore the connection down. */
export function isReset(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.ConnectionAborted;
}
