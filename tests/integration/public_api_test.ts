/**
 * Checks the public API: the exported names of each entry point, their examples, and that `./verify` needs no Deno API.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import config from "../../deno.json" with { type: "json" };

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);

/** Names of one entry point, sorted. */
interface Names {
  values: readonly string[];
  types: readonly string[];
}

/** Expected exports of the public API; update the list with every change. */
const ENTRIES: Record<keyof typeof config.exports, Names> = {
  ".": {
    values: [
      "DaemonClient",
      "PlasmError",
      "connectDaemon",
      "createManifest",
      "ephemeralIdentity",
      "fetchModule",
      "hashInputs",
      "loadOrCreateIdentity",
      "parseManifest",
      "rerun",
      "runJob",
      "runRemoteJob",
      "sha256",
      "streamJob",
      "verifyReceipt",
    ],
    types: [
      "ConfigInEffectJson",
      "DaemonAddress",
      "DaemonResult",
      "DiscoverQueryJson",
      "ErrorCode",
      "EventJson",
      "FetchModuleOptions",
      "FetchedModule",
      "FollowOptions",
      "FoundNodeJson",
      "Hash",
      "Identity",
      "JobDescription",
      "JobDetailJson",
      "JobEvent",
      "JobInputs",
      "JobJson",
      "JobOutcome",
      "JobPageJson",
      "JobResult",
      "JobState",
      "JobStatus",
      "JobTarget",
      "ListOptions",
      "ListeningJson",
      "Manifest",
      "ManifestOptions",
      "NodeJson",
      "PeerJson",
      "PipeOptions",
      "ReadinessJson",
      "Receipt",
      "ReceiptExpectations",
      "ReloadJson",
      "RemoteJobAttempt",
      "RemoteJobResult",
      "RequestOptions",
      "RerunOptions",
      "RunJobOptions",
      "RunRemoteJobOptions",
      "Signer",
      "StackFrame",
      "SubmitOptions",
      "SubmitterUsageJson",
      "VersionJson",
    ],
  },
  "./executor": {
    values: [
      "DEFAULT_CEILINGS",
      "Executor",
      "ExecutorPool",
    ],
    types: [
      "AcquireOptions",
      "CallLocation",
      "Ceilings",
      "DeterministicJob",
      "ExecutorOptions",
      "ExecutorPoolOptions",
      "FileInput",
      "JobExecutor",
      "JobExecutorOptions",
      "LeftBehind",
      "LeftBehindEntry",
      "PoolStats",
      "SandboxEvent",
      "SandboxJob",
      "SandboxLimits",
      "SandboxOutcome",
      "SandboxUsage",
      "StdinSource",
    ],
  },
  "./map": {
    values: ["mapJobs"],
    types: [
      "MapDaemon",
      "MapJob",
      "MapNetwork",
      "MapOptions",
      "MapResult",
    ],
  },
  "./quorum": {
    values: ["arbitrate", "createEvidence", "parseEvidence", "runAgreed", "verifyEvidence"],
    types: [
      "AgreedJobResult",
      "AgreedNode",
      "Arbitration",
      "Contradiction",
      "Evidence",
      "RunAgreedOptions",
      "VerifiedEvidence",
    ],
  },
  "./verify": {
    values: [
      "OutputFilesReader",
      "PlasmError",
      "compareRuns",
      "createEnvelope",
      "manifestHash",
      "parseEnvelope",
      "parseManifest",
      "parseReceipt",
      "sha256",
      "verifyBundle",
      "verifyClaim",
      "verifyEnvelope",
      "verifyReceipt",
      "writeBundle",
    ],
    types: [
      "Bundle",
      "BundleContent",
      "Claim",
      "ClaimDifference",
      "ClaimExpectations",
      "ClaimSigner",
      "Envelope",
      "EnvelopeExpectations",
      "EnvelopeSignature",
      "ErrorCode",
      "Hash",
      "JobInputs",
      "JobStatus",
      "JsonValue",
      "Manifest",
      "Measured",
      "NondeterminismSource",
      "PlasmErrorJson",
      "PlasmErrorOptions",
      "Priority",
      "Profile",
      "Receipt",
      "ReceiptExpectations",
      "ReceiptNode",
      "ReceiptWindow",
      "RerunOutcome",
      "RerunResult",
      "RerunVerdict",
      "Resources",
      "Run",
      "Runtime",
      "Usage",
      "VerifiedEnvelope",
      "VerifyBundleOptions",
    ],
  },
};

/** Maximum number of names of the main entry point. */
const MAX_NAMES = 60;

/** An exported symbol, as `deno doc --json` describes it. */
interface DocSymbol {
  name: string;
  declarations: { kind: string; jsDoc?: { tags?: { kind: string; doc?: string }[] } }[];
}

async function denoJson(...args: string[]): Promise<unknown> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

async function symbolsOf(path: string): Promise<DocSymbol[]> {
  const { nodes } = await denoJson("doc", "--json", path) as {
    nodes: Record<string, { symbols: DocSymbol[] }>;
  };
  return Object.values(nodes).flatMap(({ symbols }) => symbols);
}

const VALUE_KINDS = ["function", "class", "variable"];

function hasKind({ declarations }: DocSymbol, kinds: readonly string[]): boolean {
  return declarations.some(({ kind }) => kinds.includes(kind));
}

const SYMBOLS = new Map<string, DocSymbol[]>();
for (const [entry, path] of Object.entries(config.exports)) {
  SYMBOLS.set(entry, await symbolsOf(path));
}

for (const [entry, expected] of Object.entries(ENTRIES)) {
  Deno.test(`entry point ${entry} exports the listed names and no others`, () => {
    const symbols = SYMBOLS.get(entry)!;
    const names = (isValue: boolean): string[] =>
      symbols.filter((symbol) => hasKind(symbol, VALUE_KINDS) === isValue)
        .map(({ name }) => name).sort();
    assertEquals({ values: names(true), types: names(false) }, expected);
  });
}

Deno.test("the main entry point exports no more names than its limit", () => {
  const { values, types } = ENTRIES["."];
  assert(values.length + types.length <= MAX_NAMES, `${values.length + types.length} names`);
});

Deno.test("each exported function and class has an example that imports it", () => {
  const missing = [...SYMBOLS.values()].flat().filter((symbol) =>
    hasKind(symbol, ["function", "class"]) &&
    !symbol.declarations.some(({ jsDoc }) =>
      jsDoc?.tags?.some(({ kind, doc = "" }) =>
        kind === "example" && doc.includes("```ts\n") &&
        new RegExp(`import \\{[^}]*\\b${symbol.name}\\b[^}]*\\} from "@plasm/plasm`).test(doc)
      )
    )
  );
  assertEquals(missing.map(({ name }) => name), []);
});

Deno.test("entry point ./verify loads no file that mentions a Deno API", async () => {
  const { modules } = await denoJson("info", "--json", config.exports["./verify"]) as {
    modules: { local?: string; specifier: string }[];
  };
  const files = modules.flatMap(({ local, specifier }) =>
    specifier.startsWith("file:") && local?.endsWith(".ts") ? [local] : []
  );
  assert(files.some((path) => path.endsWith("/lib/core/verify_receipt.ts")));
  const found: string[] = [];
  for (const path of files) {
    const text = await Deno.readTextFile(path);
    const code = text.replaceAll(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, "");
    if (/\bDeno\b/.test(code)) found.push(path);
  }
  assertEquals(found, []);
});
