/**
 * Tests the Debian package under a real systemd, from installation to purge.
 */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { VERSION } from "../../lib/core/mod.ts";
import { DIST, LINUX_TARGETS, packageName } from "../../scripts/compile/targets.ts";
import { command, SPIN, write } from "../fixtures/sandbox_jobs.ts";
import { serviceProcesses, squeeze } from "../fixtures/packaging/executors.ts";
import { tempDir } from "../fixtures/temp_dir.ts";
import { debianTree, host, Machine, whyNoMachine } from "../fixtures/packaging/machine.ts";

/** Maximum exposure level of `systemd-analyze security`; the unit explains the rest. */
const MAX_EXPOSURE = 2;

const HELLO = decodeURIComponent(
  new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
);

/** Allocates memory until it fails, then loops forever. */
const EATER = `(local $at i32)
  (loop $eat
    (local.set $at (memory.grow (i32.const 16)))
    (if (i32.ne (local.get $at) (i32.const -1)) (then
      (memory.fill (i32.shl (local.get $at) (i32.const 16)) (i32.const 1) (i32.const 0x100000))
      (br $eat))))
  ${SPIN}`;

/** Writes a line, then loops forever. */
const ENDLESS = `(i32.store8 (i32.const 1024) (i32.const 10)) ${write(1, 1)} ${SPIN}`;

/** Memory limit of the job, and headroom of the service: too small for either. */
const EATER_MB = 1024;
const SQUEEZED_BYTES = 200 * 2 ** 20;

/** The administrator's configuration: the package must not change it, and the node must apply it. */
const OWN_CONFIG = '{ "network": { "enabled": true, "listen": ' +
  '["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/noise"] } } // mine';

const target = LINUX_TARGETS.find(({ triple }) => triple === Deno.build.target);
const file = target === undefined
  ? undefined
  : decodeURIComponent(new URL(packageName(target), DIST).pathname);
const reason = await whyNot();
if (reason !== undefined) console.warn(`SKIPPED: package under systemd: ${reason}`);

async function whyNot(): Promise<string | undefined> {
  if (file === undefined) return `no package for ${Deno.build.target}`;
  const built = await Deno.stat(file).then(() => true, () => false);
  return built ? await whyNoMachine() : "not built (deno task compile, deno task deb)";
}

/** Builds the package as a later version with a different default configuration; uncompressed for speed. */
async function laterPackage(from: string, to: string): Promise<void> {
  await using temp = await tempDir();
  const dir = temp.path;
  await host("dpkg-deb", "-R", from, `${dir}/plasm`);
  await host(
    "sed",
    "-i",
    `s/^Version: .*/Version: ${VERSION}+later/`,
    `${dir}/plasm/DEBIAN/control`,
  );
  await Deno.writeTextFile(`${dir}/plasm/etc/plasm/config.jsonc`, "// changed by the package\n", {
    append: true,
  });
  await host("dpkg-deb", "-Znone", "--root-owner-group", "-b", `${dir}/plasm`, to);
}

Deno.test({
  name: "the package installs, serves jobs, survives crashes, upgrades and purges cleanly",
  ignore: reason !== undefined,
  async fn(t) {
    const tree = await debianTree(target!.debian!, ["systemd", "systemd-sysv", "dbus", "php-cli"]);
    await using machine = await Machine.boot(tree);
    await host("cp", file!, `${machine.root}/srv/first.deb`);
    await host("cp", HELLO, `${machine.root}/srv/hello.wasm`);
    await Deno.writeFile(`${machine.root}/srv/endless.wasm`, await command(ENDLESS));
    await Deno.writeFile(`${machine.root}/srv/eater.wasm`, await command(EATER));
    await laterPackage(file!, `${machine.root}/srv/later.deb`);
    const before = await everyPath(machine);
    const property = (name: string) =>
      machine.run("systemctl", "show", "plasm", "--value", "-p", name);
    let job = "";

    await t.step("is active and enabled after installation", async () => {
      await machine.run("dpkg", "-i", "/srv/first.deb");
      assertEquals(await machine.run("systemctl", "is-active", "plasm"), "active");
      assertEquals(await machine.run("systemctl", "is-enabled", "plasm"), "enabled");
      assertEquals(await property("NRestarts"), "0");
      assertEquals(
        await machine.run("stat", "-c", "%a %U:%G", "/var/lib/plasm", "/run/plasm/plasm.sock"),
        "700 plasm:plasm\n660 plasm:plasm",
      );
    });

    await t.step("has at most the unit's documented exposure", async () => {
      const text = await machine.run("systemd-analyze", "security", "--no-pager", "plasm");
      const exposure = /Overall exposure level for plasm.service: ([\d.]+)/.exec(text)?.[1];
      assert(Number(exposure) <= MAX_EXPOSURE, text);
    });

    await t.step("runs jobs only for members of its group", async () => {
      await machine.run("useradd", "--groups", "plasm", "alice");
      await machine.run("useradd", "bob");
      const submit = "printf Hello | plasm submit";
      const queued = await machine.as("alice", `${submit} /srv/hello.wasm`);
      assertMatch(queued.stdout, /^job_[0-9a-z]+\n$/, queued.stderr);
      job = queued.stdout.trim();
      const waited = await machine.as("alice", `${submit} --wait /srv/hello.wasm`);
      assertEquals({ code: waited.code, stdout: waited.stdout, stderr: waited.stderr }, {
        code: 0,
        stdout: "olleH",
        stderr: "",
      });
      const refused = await machine.as("bob", `${submit} /srv/hello.wasm`);
      assertEquals({ code: refused.code, stdout: refused.stdout }, { code: 69, stdout: "" });
      assertMatch(refused.stderr, /Permission denied/);
    });

    await t.step("brings examples that run as its README and SDK describe", async () => {
      const doc = "/usr/share/doc/plasm";
      for (const path of ["README.md", "operations.md", "openapi.json", "examples/php/README.md"]) {
        await machine.run("test", "-s", `${doc}/${path}`);
      }
      const run = `plasm exec ${doc}/examples/hello/hello.wasm`;
      assertEquals((await machine.as("bob", `printf Hello | ${run}`)).stdout, "olleH");
      const key = "$(plasm id | sed -n 's/^public key *//p')";
      const pinned = await machine.as("alice", `php ${doc}/examples/local_test.php ${key}`);
      assertEquals(pinned.code, 0, pinned.stderr);
      assertMatch(pinned.stdout, /receipt verified\n$/);
      await machine.run("sh", "-c", `cat > /srv/readme.php <<'EOF'\n${await quickStart()}\nEOF`);
      const start = await machine.as("alice", `php /srv/readme.php ${key}`);
      assertEquals({ code: start.code, stdout: start.stdout }, {
        code: 0,
        stdout: "dlroW ,olleH0",
      }, start.stderr);
      const pages = "zcat /usr/share/man/man[15]/plasm*.gz | grep ^.TH";
      const titles = await machine.run("sh", "-c", pages);
      assertEquals(titles.match(/ "20\d\d\\-\d\d\\-\d\d" /g)?.length, 2, titles);
    });

    await t.step("serves clients and doctor when its file is private or invalid", async () => {
      const config = "/etc/plasm/config.jsonc";
      await machine.run("cp", "-p", config, "/srv/config.jsonc");
      await configure(machine, '{ "jobs": { "queue_mx": 7 } }');
      for (const [mode, result] of [["600", "warn"], ["644", "fail"]]) {
        await machine.run("chmod", mode!, config);
        for (const call of ["exec", "submit --wait"]) {
          const ran = await machine.as("alice", `printf Hello | plasm ${call} /srv/hello.wasm`);
          assertEquals({ code: ran.code, stdout: ran.stdout }, { code: 0, stdout: "olleH" });
        }
        const { stdout } = await machine.as("alice", "plasm doctor --json");
        const results = Object.fromEntries(
          JSON.parse(stdout).findings.map((one: { check: string; result: string }) => [
            one.check,
            one.result,
          ]),
        );
        const { config: file, socket, executor } = results;
        assertEquals({ file, socket, executor }, { file: result, socket: "ok", executor: "ok" });
      }
      await machine.run("cp", "-p", "/srv/config.jsonc", config);
    });

    await t.step(
      "confines executors without network and capabilities",
      async () => {
        const processes = await serviceProcesses(machine, "/srv/endless.wasm");
        const daemon = processes.find(({ executor }) => !executor)!;
        const executors = processes.filter(({ executor }) => executor);
        assertEquals(daemon.network, await machine.run("readlink", "/proc/1/ns/net"));
        assertEquals(daemon.oomScore, 0);
        // One executor is warm.
        assert(executors.length > 0, JSON.stringify(processes));
        for (const { network, interfaces, ids, capabilities, oomScore } of executors) {
          assertNotEquals(network, daemon.network);
          assertEquals({ interfaces, ids, oomScore }, {
            interfaces: ["lo"],
            ids: "",
            oomScore: 1000,
          });
          assertMatch(capabilities, /^0+$/);
        }
      },
    );

    await t.step("loses the job but not the daemon when memory runs out", async () => {
      assertEquals(await property("OOMPolicy"), "continue");
      await using squeezed = await squeeze(machine, SQUEEZED_BYTES);
      if (squeezed === undefined) {
        console.warn("SKIPPED: the machine has no memory cgroups");
        return;
      }
      const daemon = await property("MainPID");
      const eat = `plasm submit --wait --memory-mb ${EATER_MB} /srv/eater.wasm`;
      const eaten = await machine.as("alice", eat);
      assertMatch(eaten.stderr, /ran out of memory \(SIGKILL\)/);
      assertEquals(eaten.code, 137);
      // Memory may run out again before the first victim has released its own: then a warm executor, next in the
      // kernel's order, is killed too.
      assert(await squeezed.kills() >= 1);
      const next = await machine.as("alice", "printf Hello | plasm submit --wait /srv/hello.wasm");
      assertEquals({ code: next.code, stdout: next.stdout }, { code: 0, stdout: "olleH" });
      assertEquals({ pid: await property("MainPID"), restarts: await property("NRestarts") }, {
        pid: daemon,
        restarts: "0",
      });
    });

    await t.step("logs JSON to the journal", async () => {
      const events = await loggedEvents(machine);
      const started = events.find(({ event }) => event === "daemon-started");
      assertEquals({ level: started?.level, stateDir: started?.state_dir }, {
        level: "info",
        stateDir: "/var/lib/plasm",
      });
      const ended = events.find(({ job_id }) => job_id === job);
      assertEquals({ event: ended?.event, status: ended?.status, exitCode: ended?.exit_code }, {
        event: "job-ended",
        status: "exited",
        exitCode: 0,
      });
    });

    await t.step("logs refusals with the journal's priority warning", async () => {
      const refused = await machine.as("alice", "plasm submit --memory-mb 60000 /srv/hello.wasm");
      assertEquals(refused.code, 77);
      const events = (await journal(machine, "-p", "warning")).split("\n")
        .map((line) => JSON.parse(line).event);
      assertEquals([...new Set(events)], ["request-refused"]);
    });

    await t.step("reloads its configuration, and reports an invalid one", async () => {
      const daemon = await property("MainPID");
      await configure(machine, '{ "jobs": { "queue_max": 7 } }');
      await machine.run("systemctl", "reload", "plasm");
      const status = await machine.as("alice", "plasm status --json");
      assertEquals(JSON.parse(status.stdout).load.queue_max, 7);
      await configure(machine, '{ "jobs": { "queue_mx": 7 } }');
      const refused = await machine.try("systemctl", "reload", "plasm");
      assertEquals(refused.code, 1, refused.stderr);
      assertMatch(await journal(machine), /unknown key\s+"jobs.queue_mx"/);
      const asked = await machine.as("alice", "plasm reload");
      assertEquals(asked.code, 78);
      assertMatch(asked.stderr, /unknown key\s+"jobs.queue_mx"/);
      assertEquals(await property("MainPID"), daemon);
    });

    await t.step("fails once with 78 when it starts with an invalid configuration", async () => {
      const restarted = await machine.try("systemctl", "restart", "plasm");
      assertEquals(restarted.code, 1);
      assertEquals(await property("ActiveState"), "failed");
      assertEquals(await property("ExecMainStatus"), "78");
      assertEquals(await property("NRestarts"), "0");
      // Names the socket, so that the next reload has to find the daemon without its configuration.
      await configure(machine, '{ "socket": "/run/plasm/own.sock" }');
      await machine.run("systemctl", "reset-failed", "plasm");
      await machine.run("systemctl", "start", "plasm");
      await configure(machine, "{}");
      await machine.run("systemctl", "reload", "plasm");
      await machine.run("systemctl", "restart", "plasm");
    });

    await t.step("stops with 0 and starts again", async () => {
      await machine.run("systemctl", "stop", "plasm");
      assertEquals(await property("ActiveState"), "inactive");
      assertEquals(await property("Result"), "success");
      assertEquals(await property("ExecMainStatus"), "0");
      await machine.run("systemctl", "start", "plasm");
      assertEquals((await machine.as("alice", `plasm result ${job}`)).stdout, "olleH");
    });

    await t.step("restarts with its jobs after kill -9", async () => {
      const killed = await property("MainPID");
      await machine.untilLogged(
        "plasm",
        "daemon-started",
        () => machine.run("systemctl", "kill", "--kill-whom=main", "-s", "KILL", "plasm"),
      );
      assertNotEquals(await property("MainPID"), killed);
      assertEquals(await property("NRestarts"), "1");
      assertEquals((await machine.as("alice", `plasm result ${job}`)).stdout, "olleH");
    });

    await t.step("retains configuration and jobs on upgrade", async () => {
      const config = "/etc/plasm/config.jsonc";
      await machine.run("sh", "-c", `echo '${OWN_CONFIG}' > ${config}`);
      const old = await property("MainPID");
      await machine.run("dpkg", "--force-confdef", "--force-confold", "-i", "/srv/later.deb");
      assertEquals(await machine.run("cat", config), OWN_CONFIG);
      assertMatch(await machine.run("cat", `${config}.dpkg-dist`), /changed by the package$/);
      assertNotEquals(await property("MainPID"), old);
      assertEquals(await machine.run("systemctl", "is-active", "plasm"), "active");
      assertEquals((await machine.as("alice", `plasm result ${job}`)).stdout, "olleH");
    });

    await t.step("joins the network under the unit's hardening when configured", async () => {
      const started = (await loggedEvents(machine)).find(({ event }) =>
        event === "network-started"
      );
      const address = String(started?.["address"]);
      assertMatch(address, /\/ip4\/127\.0\.0\.1\/udp\/\d+\/noise\/p2p\/12D3KooW/);
      assertMatch(address, /\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3KooW/);
    });

    await t.step("stops on removal and retains state and configuration", async () => {
      await machine.run("dpkg", "-r", "plasm");
      assertEquals((await machine.try("systemctl", "is-active", "plasm")).stdout, "inactive\n");
      assertEquals((await machine.try("test", "-e", "/usr/bin/plasm")).code, 1);
      await machine.run("test", "-f", "/var/lib/plasm/identity.key");
      await machine.run("test", "-f", "/etc/plasm/config.jsonc");
    });

    await t.step("removes everything but its user on purge", async () => {
      await machine.run("dpkg", "-P", "plasm");
      assertEquals((await everyPath(machine)).filter((path) => !before.includes(path)), []);
      assertMatch(await machine.run("getent", "passwd", "plasm"), /^plasm:/);
    });
  },
});

/** The PHP SDK's quick start, with paths of the package and the pinned key as argument. */
async function quickStart(): Promise<string> {
  const readme = await Deno.readTextFile(
    new URL("../../examples/php/README.md", import.meta.url),
  );
  const code = /## Quick start\n[^]*?```php\n([^]*?)```/.exec(readme)![1]!;
  const examples = "/usr/share/doc/plasm/examples";
  return `<?php require '${examples}/php/autoload.php';\n` + code
    .replace("'hello.wasm'", `'${examples}/hello/hello.wasm'`)
    .replace("'in.csv'", "'/etc/hostname'")
    .replace(/key: '<[^']*'/, "key: $argv[1]");
}

/** Replaces the administrator's configuration. */
async function configure(machine: Machine, text: string): Promise<void> {
  await machine.run("sh", "-c", `echo '${text}' > /etc/plasm/config.jsonc`);
}

/** The unit's journal, as text. */
function journal(machine: Machine, ...options: string[]): Promise<string> {
  return machine.run("journalctl", "-u", "plasm", "-o", "cat", "-t", "plasm", ...options);
}

/** A line of the daemon's log; the other fields depend on the event. */
interface LoggedEvent {
  event: string;
  [field: string]: unknown;
}

/** Events that the daemon has logged. */
async function loggedEvents(machine: Machine): Promise<LoggedEvent[]> {
  const lines = (await journal(machine)).split("\n");
  // Errors of commands are text.
  return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
}

/** Every path on the machine related to plasm, by name or location. */
async function everyPath(machine: Machine): Promise<string[]> {
  const found = await machine.run(
    ...["find", "/", "(", "-path", "/proc", "-o", "-path", "/sys", ")", "-prune"],
    ...["-o", "-path", "*plasm*", "-print"],
  );
  return found.split("\n").filter((path) => path !== "").sort();
}
