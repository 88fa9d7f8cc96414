/**
 * The life of the Debian package under a real systemd, from installation to purge.
 */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { VERSION } from "../../lib/core/version.ts";
import { DIST, LINUX_TARGETS, packageName } from "../../scripts/compile/targets.ts";
import { command, SPIN, write } from "../fixtures/sandbox_jobs.ts";
import { serviceProcesses, squeeze } from "../fixtures/packaging/executors.ts";
import { debianTree, host, Machine, whyNoMachine } from "../fixtures/packaging/machine.ts";

/** What `systemd-analyze security` may say at most; see the unit for what is left. */
const MAX_EXPOSURE = 2;

const HELLO = decodeURIComponent(
  new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
);

/** Takes memory until it gets none, then never ends. */
const EATER = `(local $at i32)
  (loop $eat
    (local.set $at (memory.grow (i32.const 16)))
    (if (i32.ne (local.get $at) (i32.const -1)) (then
      (memory.fill (i32.shl (local.get $at) (i32.const 16)) (i32.const 1) (i32.const 0x100000))
      (br $eat))))
  ${SPIN}`;

/** Writes a line, then never ends. */
const ENDLESS = `(i32.store8 (i32.const 1024) (i32.const 10)) ${write(1, 1)} ${SPIN}`;

/** What that job may have, and what the service may have besides what it has: room for neither. */
const EATER_MB = 1024;
const SQUEEZED_BYTES = 200 * 2 ** 20;

/** What an administrator writes: the package must not touch it, and the node must do as it says. */
const OWN_CONFIG = '{ "network": { "enabled": true, "listen": ' +
  '["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic"] } } // mine';

const target = LINUX_TARGETS.find(({ triple }) => triple === Deno.build.target);
const file = target === undefined
  ? undefined
  : decodeURIComponent(new URL(packageName(target), DIST).pathname);
const reason = await whyNot();
if (reason !== undefined) console.warn(`SKIPPED: the package under systemd: ${reason}`);

async function whyNot(): Promise<string | undefined> {
  if (file === undefined) return `there is no package for ${Deno.build.target}`;
  const built = await Deno.stat(file).then(() => true, () => false);
  return built ? await whyNoMachine() : "not built (deno task compile, deno task deb)";
}

/** The same package as a later version with another default configuration, uncompressed for speed. */
async function laterPackage(from: string, to: string): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "plasm-deb-" });
  try {
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
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test({
  name: "the package installs, serves, survives, upgrades, and leaves nothing behind",
  ignore: reason !== undefined,
  async fn(t) {
    const tree = await debianTree(target!.debian!, ["systemd", "systemd-sysv", "dbus"]);
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

    await t.step("is active and enabled once it is installed", async () => {
      await machine.run("dpkg", "-i", "/srv/first.deb");
      assertEquals(await machine.run("systemctl", "is-active", "plasm"), "active");
      assertEquals(await machine.run("systemctl", "is-enabled", "plasm"), "enabled");
      assertEquals(await property("NRestarts"), "0");
      assertEquals(
        await machine.run("stat", "-c", "%a %U:%G", "/var/lib/plasm", "/run/plasm/plasm.sock"),
        "700 plasm:plasm\n660 plasm:plasm",
      );
    });

    await t.step("is exposed no more than its unit allows", async () => {
      const text = await machine.run("systemd-analyze", "security", "--no-pager", "plasm");
      const exposure = /Overall exposure level for plasm.service: ([\d.]+)/.exec(text)?.[1];
      assert(Number(exposure) <= MAX_EXPOSURE, text);
    });

    await t.step("runs a job for a member of its group, and for no other user", async () => {
      await machine.run("useradd", "--groups", "plasm", "alice");
      await machine.run("useradd", "bob");
      const submit = "printf Hello | plasm submit";
      const queued = await machine.as("alice", `${submit} /srv/hello.wasm`);
      assertMatch(queued.stdout, /^job_[0-9a-z]+\n$/, queued.stderr);
      job = queued.stdout.trim();
      const waited = await machine.as("alice", `${submit} --wait /srv/hello.wasm`);
      assertEquals([waited.code, waited.stdout, waited.stderr], [0, "olleH", ""]);
      const refused = await machine.as("bob", `${submit} /srv/hello.wasm`);
      assertEquals([refused.code, refused.stdout], [69, ""]);
      assertMatch(refused.stderr, /Permission denied/);
    });

    await t.step(
      "lets an executor see no network, and hold nothing that it could gain by",
      async () => {
        const processes = await serviceProcesses(machine, "/srv/endless.wasm");
        const daemon = processes.find(({ executor }) => !executor)!;
        const executors = processes.filter(({ executor }) => executor);
        assertEquals(daemon.network, await machine.run("readlink", "/proc/1/ns/net"));
        assertEquals(daemon.oomScore, 0);
        // One is kept warm.
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

    await t.step("loses a job and not itself when memory runs out", async () => {
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
      // Memory may be short again before the first victim has given its own back: then a warm
      // executor, the next in the kernel's order, goes too.
      assert(await squeezed.kills() >= 1);
      const next = await machine.as("alice", "printf Hello | plasm submit --wait /srv/hello.wasm");
      assertEquals([next.code, next.stdout], [0, "olleH"]);
      assertEquals([await property("MainPID"), await property("NRestarts")], [daemon, "0"]);
    });

    await t.step("logs JSON to the journal", async () => {
      const text = await machine.run("journalctl", "-u", "plasm", "-o", "json", "-t", "plasm");
      const events = text.split("\n").map((line) => JSON.parse(JSON.parse(line).MESSAGE));
      const started = events.find(({ event }) => event === "daemon-started");
      assertEquals([started?.level, started?.state_dir], ["info", "/var/lib/plasm"]);
      const ended = events.find(({ job_id }) => job_id === job);
      assertEquals([ended?.event, ended?.status, ended?.exit_code], ["job-ended", "exited", 0]);
    });

    await t.step("is back with its jobs after kill -9", async () => {
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

    await t.step("keeps the administrator's configuration and the jobs on an upgrade", async () => {
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

    await t.step("joins the network, within the unit's hardening, when told to", async () => {
      const log = await machine.run("journalctl", "-u", "plasm", "-o", "cat", "-t", "plasm");
      const events = log.split("\n").map((line) => JSON.parse(line));
      const { address } = events.find(({ event }) => event === "network_started");
      assertMatch(address, /\/ip4\/127\.0\.0\.1\/udp\/\d+\/quic\/p2p\/12D3KooW/);
      assertMatch(address, /\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3KooW/);
    });

    await t.step("stops on removal and keeps state and configuration", async () => {
      await machine.run("dpkg", "-r", "plasm");
      assertEquals((await machine.try("systemctl", "is-active", "plasm")).stdout, "inactive\n");
      assertEquals((await machine.try("test", "-e", "/usr/bin/plasm")).code, 1);
      await machine.run("test", "-f", "/var/lib/plasm/identity.key");
      await machine.run("test", "-f", "/etc/plasm/config.jsonc");
    });

    await t.step("leaves nothing but its user when it is purged", async () => {
      await machine.run("dpkg", "-P", "plasm");
      assertEquals((await everyPath(machine)).filter((path) => !before.includes(path)), []);
      assertMatch(await machine.run("getent", "passwd", "plasm"), /^plasm:/);
    });
  },
});

/** Every path of the machine whose name or place has to do with plasm. */
async function everyPath(machine: Machine): Promise<string[]> {
  const found = await machine.run(
    ...["find", "/", "(", "-path", "/proc", "-o", "-path", "/sys", ")", "-prune"],
    ...["-o", "-path", "*plasm*", "-print"],
  );
  return found.split("\n").filter((path) => path !== "").sort();
}
