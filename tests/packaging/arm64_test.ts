import { assertEquals, assertMatch } from "@std/assert";
import { VERSION } from "../../lib/core/mod.ts";
import { DIST, LINUX_TARGETS, packageName } from "../../scripts/compile/targets.ts";
import { debianTree, host, whyNoMachine } from "../fixtures/packaging/machine.ts";

/**
 * Tests the arm64 package with dpkg in an emulated Debian, without systemd.
 */

const target = LINUX_TARGETS.find(({ debian }) => debian === "arm64")!;
const file = decodeURIComponent(new URL(packageName(target), DIST).pathname);
const reason = await whyNot();
if (reason !== undefined) console.warn(`SKIPPED: arm64 package: ${reason}`);

async function whyNot(): Promise<string | undefined> {
  const exists = (path: string) => Deno.stat(path).then(() => true, () => false);
  if (!await exists(file)) return "not built (deno task compile, deno task deb)";
  const emulates = new Deno.Command("test", {
    args: ["-e", "/proc/sys/fs/binfmt_misc/qemu-aarch64"],
  });
  if (Deno.build.arch !== "aarch64" && !(await emulates.output()).success) {
    return "binfmt_misc has no qemu-aarch64 (apt-get install qemu-user-static)";
  }
  return await whyNoMachine();
}

Deno.test({
  name: "the arm64 package installs and is purged in an emulated Debian",
  ignore: reason !== undefined,
  async fn() {
    const dir = await Deno.makeTempDir({ prefix: "plasm-arm64-" });
    try {
      // Stands in for systemd, whose installation takes long under emulation.
      const tree = await debianTree("arm64", ["systemd-standalone-sysusers"]);
      await host("cp", "-a", "--reflink=auto", tree, `${dir}/root`);
      await host("cp", file, `${dir}/root/srv/plasm.deb`);
      const inside = (...command: string[]) =>
        host(
          ...["systemd-nspawn", "-D", `${dir}/root`, "--quiet", "--register=no"] as const,
          ...["--keep-unit", "--pipe", "--private-network", ...command],
        );
      await inside("dpkg", "-i", "/srv/plasm.deb");
      const status = await inside("dpkg-query", "-W", "-f", "${Status} ${Architecture}", "plasm");
      assertEquals(status, "install ok installed arm64");
      assertMatch(await inside("getent", "passwd", "plasm"), /^plasm:/);
      assertMatch(await inside("plasm", "version"), new RegExp(`^plasm ${VERSION} .*aarch64`));
      await inside("dpkg", "-P", "plasm");
      assertEquals(
        await inside("find", "/usr", "/etc", "/lib", "/var/lib", "-name", "*plasm*"),
        "",
      );
    } finally {
      await host("rm", "-rf", dir);
    }
  },
});
