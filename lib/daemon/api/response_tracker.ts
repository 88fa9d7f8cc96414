/**
 * Follows the responses on a connection to know when each request has its complete response.
 * @module
 */
import { concat } from "../../util/mod.ts";
import { BodyFraming, type BodyLength } from "./body_framing.ts";
import { headSize, splitHead } from "./request_reader.ts";

/** Status of a response, and the end of its body for a request of this method (RFC 9112, section 6.3). */
function parseResponse(head: Uint8Array, method: string | undefined): {
  status: number;
  length: BodyLength;
} {
  const { line, headers } = splitHead(head);
  const status = Number(/^HTTP\/1\.[01] ([1-5]\d\d)(?: |$)/.exec(line)?.[1]);
  const size = headers.get("content-length");
  const hasBody = method !== "HEAD" && status >= 200 && status !== 204 && status !== 304;
  const length = !hasBody
    ? 0
    : headers.has("transfer-encoding")
    ? "chunked"
    : size === undefined
    ? "until-close"
    : Number(size);
  return { status, length };
}

/** Counts the requests on a connection that have no complete response. */
export class ResponseTracker {
  /** Methods of requests without a complete response. */
  readonly #methods: string[] = [];
  /** Bytes of an incomplete head. */
  #head: Uint8Array = new Uint8Array();
  #body: BodyFraming | undefined;
  #waiters: { pending: number; resolve: () => void }[] = [];

  /** Number of requests without a complete response. */
  get pending(): number {
    return this.#methods.length;
  }

  /** Whether the bytes so far end between two responses. */
  get isBetweenResponses(): boolean {
    return this.#body === undefined && this.#head.length === 0;
  }

  /** Registers a request; its response follows those of all earlier ones. */
  expect(method: string): void {
    this.#methods.push(method);
  }

  /** Resolves when at most `pending` requests have no complete response. */
  async settled(pending = 0): Promise<void> {
    if (this.pending <= pending) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiters.push({ pending, resolve });
    await promise;
  }

  /** Advances over bytes that the server sent. */
  push(bytes: Uint8Array): void {
    for (let rest = bytes; rest.length > 0;) {
      if (this.#body === undefined) {
        rest = this.#pushHead(rest);
      } else {
        rest = rest.subarray(this.#body.advance(rest));
        if (this.#body.done) this.#endResponse();
      }
    }
  }

  #pushHead(bytes: Uint8Array): Uint8Array {
    const whole = this.#head.length === 0 ? bytes : concat([this.#head, bytes]);
    const size = headSize(whole);
    if (size < 0) {
      this.#head = whole.slice();
      return new Uint8Array();
    }
    this.#head = new Uint8Array();
    const { status, length } = parseResponse(whole.subarray(0, size), this.#methods[0]);
    // An interim response, such as 100 Continue, precedes the final one.
    if (status >= 200) {
      this.#body = new BodyFraming(length);
      if (this.#body.done) this.#endResponse();
    }
    return whole.subarray(size);
  }

  #endResponse(): void {
    this.#body = undefined;
    this.#methods.shift();
    const isWaiting = ({ pending }: { pending: number }): boolean => pending < this.pending;
    for (const waiter of this.#waiters) if (!isWaiting(waiter)) waiter.resolve();
    this.#waiters = this.#waiters.filter(isWaiting);
  }
}
