/**
 * Public entry point of the remote/server component.
 * @module
 */
export {
  type HostEvent,
  type JobHost,
  type OfferTerms,
  type RemoteJobOffer,
  type RemotePolicy,
} from "./job_host.ts";
export { JobServer } from "./serve.ts";
