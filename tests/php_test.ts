/**
 * The PHP SDK: its own tests, what it must have in common with us, and its client against real daemons.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ERROR_CODES } from "../lib/error_codes.ts";
import { withDaemon } from "./daemon/harness.ts";
import { DaemonProcess, environment } from "./daemon/process.ts";
import { php, type PhpOptions, ROOT, whyNoPhp } from "./php.ts";
import { plasm, withTempDir } from "./plasm.ts";

const SDK = "examples/php";
const reason = await whyNoPhp();
if (reason !== undefined) console.warn(`SKIPPED: the PHP SDK: ${reason}`);

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: reason !== undefined, fn });
}

async function runTests(args: string[], options: PhpOptions = {}): Promise<void> {
  const { code, stdout, stderr } = await php([`${SDK}/tests/run.php`, ...args], options);
  assertEquals(code, 0, stdout + stderr);
  assertEquals(stderr, "");
  assertMatch(stdout, /^[1-9]\d* passed, 0 failed\n$/);
}

test("the PHP SDK passes its own tests", () => runTests([]));

test("the PHP SDK knows every error code, its fault and whether to retry", async () => {
  const script =
    `require "${SDK}/autoload.php"; echo json_encode(Plasm\\Exception\\ErrorCode::ALL);`;
  const { stdout } = await php(["-r", script]);
  const ours = Object.entries(ERROR_CODES).map(([code, info]) => [
    code,
    [info.fault, info.retryable],
  ]);
  assertEquals(JSON.parse(stdout), Object.fromEntries(ours));
});

test("the PHP SDK's schemas are ours", async () => {
  for (const name of ["receipt.json", "manifest.json", "capability.json"]) {
    assertEquals(
      await Deno.readTextFile(`${ROOT}${SDK}/schemas/${name}`),
      await Deno.readTextFile(`${ROOT}schemas/${name}`),
      `cp schemas/${name} ${SDK}/schemas/`,
    );
  }
});

test("the PHP client and its example work with a daemon's process", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start({ dir });
    const env = { PLASM_SOCKET: daemon.socket };
    await runTests(["--daemon", "ClientTest"], { env });
    await runTests(["--daemon", "ReadmeTest"], { env });

    const { public_key } = JSON.parse(
      (await plasm(["id", "--json"], { env: environment(dir) })).stdout,
    );
    for (const pin of [[], [public_key]]) {
      const { code, stdout, stderr } = await php(["examples/local_test.php", ...pin], { env });
      assertEquals([code, stderr], [0, ""]);
      assertMatch(
        stdout,
        /^job +job_[a-z2-7]{26}\noutput +dlroW ,olleH\nexit code +0\nwall time +\d+ ms\nreceipt verified\n$/,
      );
    }
    const forged = await php(["examples/local_test.php", "0".repeat(64)], { env });
    assertEquals([forged.code, forged.stdout], [1, ""]);
    assertStringIncludes(forged.stderr, "bad-receipt: Cannot trust receipt: node.public_key is");
  }));

test("examples/local_test.php says that there is no daemon", async () => {
  const env = { PLASM_SOCKET: "/nonexistent/plasm.sock" };
  const { code, stdout, stderr } = await php(["examples/local_test.php"], { env });
  assertEquals([code, stdout], [1, ""]);
  assertStringIncludes(stderr, "no-daemon: Cannot reach daemon: no socket at /nonexistent");
});

test("the PHP client reaches a daemon on loopback TCP with its token only", () =>
  withDaemon(async ({ daemon: { tcp } }) => {
    const env = { PLASM_TEST_URL: `http://127.0.0.1:${tcp!.port}`, PLASM_TEST_TOKEN: tcp!.token };
    await runTests(["--daemon", "TcpTest"], { env });
  }, { config: { "api.tcp.listen": "127.0.0.1:0" } }));
