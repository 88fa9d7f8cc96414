/**
 * Keeps a daemon up when a promise of a library fails with nobody waiting for it.
 * @module
 */
import { getLog } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";

/**
 * Logs unhandled rejections instead of ending the process. Deno ends it by default, and libp2p leaves
 * promises behind that a peer can make fail: one stranger could stop a node.
 */
export function surviveRejections(): Disposable {
  const onRejection = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    getLog("daemon").error("promise-unhandled", { error: PlasmError.from(event.reason) });
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  return {
    [Symbol.dispose]: () => globalThis.removeEventListener("unhandledrejection", onRejection),
  };
}
