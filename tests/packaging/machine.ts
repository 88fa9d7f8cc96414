/**
 * A Debian system of its own, with a real systemd, in a namespace container.
 * @module
 */
import { assertEquals } from "@std/assert";
import { DIST } from "../../scripts/compile/targets.ts";

/** What this needs, as Debian's packages. */
export const MACHINE_PACKAGES = "debootstrap systemd-container util-linux";

const SUITE = "bookworm";

/** What a finished command left. */
export interface CommandResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a program of this machine; throws when it fails. */
export async function host(program: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await output([program, ...args]);
  assertEquals(code, 0, `${program} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** Why there can be no machine here; undefined where there can. */
export async function whyNoMachine(): Promise<string | undefined> {
  for (const program of ["debootstrap", "systemd-nspawn", "nsenter"]) {
    if ((await output(["sh", "-c", `command -v ${program}`])).code !== 0) {
      return `there is no ${program} (apt-get install ${MACHINE_PACKAGES})`;
    }
  }
  return Deno.uid() === 0 ? undefined : "it takes root";
}

/** A minimal Debian tree with some more packages, made once; copy it before changing it. */
export async function debianTree(
  architecture: string,
  packages: readonly string[],
): Promise<string> {
  const tree = decodeURIComponent(new URL(`.cache/${SUITE}-${architecture}`, DIST).pathname);
  if ((await output(["test", "-e", `${tree}.done`])).code === 0) return tree;
  await host("rm", "-rf", tree);
  const options = ["--variant=minbase", `--include=${packages.join(",")}`];
  await host("debootstrap", `--arch=${architecture}`, ...options, SUITE, tree);
  await Deno.writeTextFile(`${tree}.done`, "");
  return tree;
}

/** A running machine. */
export class Machine implements AsyncDisposable {
  readonly root: string;
  readonly #process: Deno.ChildProcess;
  readonly #leader: string;

  private constructor(root: string, process: Deno.ChildProcess, leader: string) {
    this.root = root;
    this.#process = process;
    this.#leader = leader;
  }

  /** Boots a copy of a tree, and waits until its systemd says that it is up. */
  static async boot(tree: string): Promise<Machine> {
    const dir = await Deno.makeTempDir({ prefix: "plasm-machine-" });
    const root = `${dir}/root`;
    await host("cp", "-a", "--reflink=auto", tree, root);
    const notify = Deno.listenDatagram({ transport: "unixpacket", path: `${dir}/notify` });
    try {
      const process = new Deno.Command("systemd-nspawn", {
        args: [
          ...["-D", root, "--boot", "--quiet", "--register=no", "--keep-unit", "--console=pipe"],
          ...["--private-network", "--notify-ready=yes", "--machine=plasm-test"],
        ],
        env: { NOTIFY_SOCKET: `${dir}/notify` },
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).spawn();
      const leader = await Promise.race([
        readLeader(notify),
        process.status.then(({ code }) => {
          throw new Error(`systemd-nspawn ended with ${code}`);
        }),
      ]);
      return new Machine(root, process, leader);
    } finally {
      notify.close();
    }
  }

  /** Runs a command in the machine as root. */
  try(...command: string[]): Promise<CommandResult> {
    return output(this.#enter(command));
  }

  /** Runs a command in the machine as root, which must succeed, and gives what it printed. */
  async run(...command: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(...command);
    assertEquals(code, 0, `${command.join(" ")}: ${stdout}${stderr}`);
    return stdout.trimEnd();
  }

  /** Runs a line of shell in the machine as one of its users. */
  as(user: string, line: string): Promise<CommandResult> {
    return this.try("su", user, "-c", line);
  }

  /** Does something, then waits for a line in the journal of a unit that was not there before. */
  async untilLogged(unit: string, text: string, act: () => Promise<unknown>): Promise<void> {
    // The last old line tells that the journal is being followed.
    const [program, ...args] = this.#enter(["journalctl", "-fu", unit, "-n1", "-o", "cat"]);
    const child = new Deno.Command(program!, { args, stdout: "piped", stderr: "null" }).spawn();
    let seen = "";
    let acted = false;
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      if (!acted) {
        acted = true;
        await act();
        continue;
      }
      seen += chunk;
      if (seen.includes(text)) break;
    }
    child.kill("SIGKILL");
    await child.status;
  }

  /** Shuts the machine down and deletes it. */
  async [Symbol.asyncDispose](): Promise<void> {
    // To systemd-nspawn this means an orderly shutdown.
    this.#process.kill("SIGTERM");
    await this.#process.status;
    await host("rm", "-rf", this.root.replace(/\/root$/, ""));
  }

  #enter(command: readonly string[]): string[] {
    const env = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"];
    return ["nsenter", "-a", "-t", this.#leader, "--", ...env, ...command];
  }
}

/** systemd-nspawn tells the first process' number, and READY=1 once the system is up. */
async function readLeader(notify: Deno.DatagramConn): Promise<string> {
  let leader: string | undefined;
  while (true) {
    const [bytes] = await notify.receive();
    const lines = new TextDecoder().decode(bytes).split("\n");
    leader ??= lines.find((line) => line.startsWith("X_NSPAWN_LEADER_PID="))?.split("=")[1];
    if (lines.includes("READY=1") && leader !== undefined) return leader;
  }
}

async function output(command: readonly string[]): Promise<CommandResult> {
  const [program, ...args] = command;
  const { code, stdout, stderr } = await new Deno.Command(program!, { args, stdin: "null" })
    .output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}
