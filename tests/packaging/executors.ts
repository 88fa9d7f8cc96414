/**
 * What the kernel of a machine says of the service and of its executors, and a way to make it kill.
 * @module
 */
import type { Machine } from "./machine.ts";

/** What the kernel says of one process. */
export interface ServiceProcess {
  pid: string;
  executor: boolean;
  /** Its network namespace. */
  network: string;
  /** Names of the network's interfaces. */
  interfaces: string[];
  /** Ids that exist in its user namespace: nothing where there are none. */
  ids: string;
  /** Effective capabilities, in hexadecimal digits. */
  capabilities: string;
  /** How early the kernel takes it when memory runs out, up to 1000. */
  oomScore: number;
}

const LOOK = `for dir in /proc/[0-9]*; do
  [ "$(readlink $dir/exe)" = /usr/bin/plasm ] || continue
  command=$(tr '\\0' ' ' < $dir/cmdline)
  case $command in *" daemon "|*" __executor "*) ;; *) continue ;; esac
  echo "\${dir#/proc/}|$command|$(readlink $dir/ns/net)|$(sed -n 's/^ *\\(.*\\):.*/\\1/p' $dir/net/dev |
    tr '\\n' ' ')|$(cat $dir/uid_map $dir/gid_map)|$(sed -n 's/^CapEff:\\t//p' $dir/status)|$(
    cat $dir/oom_score_adj)"
done`;

/** Looks once the job has written a line, and ends it. */
const LOOK_AT_JOB = `id=$(plasm submit "$1" < /dev/null) && plasm logs --follow $id | {
  read -r line; ${LOOK}; plasm cancel $id > /dev/null; }`;

/** The daemon and its executors while one runs a job, which must write a line and then go on. */
export async function serviceProcesses(
  machine: Machine,
  module: string,
): Promise<ServiceProcess[]> {
  const found = await machine.run("bash", "-c", LOOK_AT_JOB, "bash", module);
  const lines = found.split(/\n(?=\d+\|\/)/);
  return lines.map((line) => {
    const [pid, command, network, interfaces, ids, capabilities, oomScore] = line.split("|");
    return {
      pid: pid!,
      executor: command!.includes("__executor"),
      network: network!,
      interfaces: interfaces!.trim().split(" "),
      ids: ids!.trim(),
      capabilities: capabilities!,
      oomScore: Number(oomScore),
    };
  });
}

const V1 = "/sys/fs/cgroup/memory";

/** A limit of memory for the service, under which the kernel kills. */
export interface Squeeze extends AsyncDisposable {
  /** How many processes it has killed. */
  kills(): Promise<number>;
}

/**
 * Lets the service have so many more bytes than it has now, not by systemd where the machine's memory
 * hierarchy is of version 1, which it may not change; undefined where there is none.
 */
export async function squeeze(machine: Machine, bytes: number): Promise<Squeeze | undefined> {
  const property = (name: string) =>
    machine.run("systemctl", "show", "plasm", "--value", "-p", name);
  const oomKills = async (file: string) =>
    Number(/^oom_kill (\d+)$/m.exec(await machine.run("cat", file))?.[1]);
  if ((await machine.try("test", "-d", V1)).code === 0) {
    const group = `${V1}/plasm-test-${crypto.randomUUID()}`;
    const move = `for pid in $(cat "$1"); do echo $pid > "$2"; done`;
    await machine.run("mount", "-o", "remount,rw,bind", V1);
    await machine.run("mkdir", group);
    await machine.run("sh", "-c", `echo ${bytes} > ${group}/memory.limit_in_bytes`);
    const processes = `/sys/fs/cgroup/systemd${await property("ControlGroup")}/cgroup.procs`;
    // What they have already stays on the account of where they come from.
    await machine.run("sh", "-c", move, "sh", processes, `${group}/cgroup.procs`);
    return {
      kills: () => oomKills(`${group}/memory.oom_control`),
      [Symbol.asyncDispose]: async () => {
        await machine.run(
          ...["sh", "-c", `${move}; rmdir "$3"`, "sh", `${group}/cgroup.procs`],
          ...[`${V1}/cgroup.procs`, group],
        );
      },
    };
  }
  const used = Number(await property("MemoryCurrent"));
  if (!Number.isSafeInteger(used)) return undefined;
  const limit = await property("MemoryMax");
  const set = (max: string) =>
    machine.run("systemctl", "set-property", "--runtime", "plasm", `MemoryMax=${max}`);
  await set(String(used + bytes));
  const events = `/sys/fs/cgroup${await property("ControlGroup")}/memory.events`;
  return {
    kills: () => oomKills(events),
    [Symbol.asyncDispose]: async () => void await set(limit),
  };
}
