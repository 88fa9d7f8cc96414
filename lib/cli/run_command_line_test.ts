import { assertEquals, assertStringIncludes } from "@std/assert";
import type { CliIo } from "./io.ts";
import { runCommandLine, withoutRuntimeTexts } from "./run_command_line.ts";

/** Runs a command line that fails before it uses anything but standard error. */
async function messageOf(...args: string[]): Promise<string> {
  let text = "";
  const io = {
    columns: 200,
    drop: () => {},
    message: (data: string) => Promise.resolve(void (text += data)),
  };
  assertEquals(await runCommandLine(args, io as unknown as CliIo), 2);
  return text;
}

Deno.test("runCommandLine() names the command that replaces one of another tool", async () => {
  assertStringIncludes(await messageOf("run", "x.wasm"), "Did you mean plasm exec?");
  assertStringIncludes(await messageOf("ps"), "Did you mean plasm jobs?");
  assertStringIncludes(await messageOf("kill", "JOB"), "Did you mean plasm cancel?");
  assertStringIncludes(await messageOf("pull", "x"), "Did you mean plasm modules pull?");
  assertStringIncludes(await messageOf("./x.wasm"), "Did you mean plasm exec ./x.wasm?");
  assertStringIncludes(await messageOf("constructor"), "Run plasm --help");
});

Deno.test("runCommandLine() refuses --socket when exec does not use the daemon", async () => {
  const text = await messageOf("exec", "--socket", "/tmp/x.sock", "x.wasm");
  assertStringIncludes(text, "--socket without --daemon, --pipe or --remote");
});

Deno.test("runCommandLine() refuses options without an effect", async () => {
  const cases: [line: string, message: string][] = [
    ["modules ls --socket x", "Cannot use --socket with ls"],
    ["modules rm --daemon sha256:0", "Cannot use --daemon with rm"],
    ["modules pull --max-mb 1 https://x", "plasm modules prune"],
    ["modules pull --socket x https://x", "Cannot use --socket without --daemon"],
    ["config schema --config x", "plasm config check or print"],
    ["receipt show --key 00 x", "plasm receipt import"],
    ["receipt import --format in-toto x", "plasm receipt export"],
    ["id --local --socket x", "Cannot use --local and --socket together"],
    ["backup --state-dir x --socket y z", "Cannot use --state-dir and --socket together"],
    ["config shcema --config x", "Unknown argument: shcema"],
  ];
  for (const [line, message] of cases) {
    assertStringIncludes(await messageOf(...line.split(" ")), message);
  }
});

Deno.test("withoutRuntimeTexts() removes flags, URLs and error numbers that the runtime adds", () => {
  const cases: [string, string][] = [
    [
      'Requires all access to "/proc/1/mem", run again with the --allow-all flag',
      "plasm may not use /proc/1/mem",
    ],
    [
      'Requires net access to "x", specify the required permissions during compile using `deno compile --allow-net`',
      "plasm may not use x",
    ],
    [
      "error sending request for url (http://localhost/v1/jobs): client error (Connect): Connection refused (os error 111)",
      "Connection refused",
    ],
    [
      "Cannot use state directory x: File exists (os error 17): mkdir 'x'",
      "Cannot use state directory x: File exists",
    ],
    ["Cannot move: No space (os error 28), rename '/x' -> '/y'", "Cannot move: No space: /x"],
    [
      "Cannot download URL: client error (Connect): invalid peer certificate: Other(OtherError(UnknownIssuer))",
      "Cannot download URL: the server's certificate is not valid (UnknownIssuer)",
    ],
    [
      "Cannot download URL: dns error: failed to lookup address information: Name or service not known",
      "Cannot download URL: its host name is not known",
    ],
    [
      "Cannot download URL: received corrupt message of type InvalidContentType",
      "Cannot download URL: the server does not speak TLS",
    ],
    [
      "Cannot run module: it exports no _start function",
      "Cannot run module: it exports no _start function",
    ],
  ];
  for (const [message, expected] of cases) assertEquals(withoutRuntimeTexts(message), expected);
});
