import { assertEquals } from "@std/assert";

import { defaultConfig } from "../../config/mod.ts";
import { closedReason, DonorPolicy, isWithin, type MachineState } from "./donor_policy.ts";
import { remotePolicy } from "./remote_host.ts";

/** Local time of an arbitrary day. */
const at = (hour: number, minute = 0): Date => new Date(2026, 0, 15, hour, minute);

function donor(
  policy: Partial<ReturnType<typeof defaultConfig>["network"]["policy"]>,
  machine: Partial<MachineState> = {},
): DonorPolicy {
  const config = defaultConfig();
  Object.assign(config.network.policy, policy);
  return new DonorPolicy(() => config, {
    now: () => at(12),
    load: () => 0,
    onBattery: () => Promise.resolve(false),
    cores: 8,
    ...machine,
  });
}

Deno.test("isWithin() includes the start, excludes the end and passes midnight", () => {
  const night = ["22:00-06:30"];
  assertEquals([at(22), at(23, 59), at(0), at(6, 29)].map((time) => isWithin(night, time)), [
    true,
    true,
    true,
    true,
  ]);
  assertEquals([at(6, 30), at(12), at(21, 59)].map((time) => isWithin(night, time)), [
    false,
    false,
    false,
  ]);
  assertEquals(isWithin(["18:00-24:00"], at(23, 59)), true);
  assertEquals(isWithin(["08:00-09:00", "12:00-13:00"], at(12, 30)), true);
  assertEquals(isWithin([], at(3)), true);
});

Deno.test("availability depends on the hour of the day", () => {
  const policy = donor({ hours: ["22:00-06:00"] });
  assertEquals(policy.availability, { accepting: false, reason: "hours", cores: 0 });
  assertEquals(
    closedReason(policy.availability),
    "node accepts no jobs of peers at this time of day",
  );
  const night = donor({ hours: ["22:00-06:00"] }, { now: () => at(23) });
  assertEquals(night.availability, { accepting: true, reason: null, cores: 8 });
});

Deno.test("availability depends on the battery only if the policy does", async () => {
  const onBattery = () => Promise.resolve(true);
  const any = donor({}, { onBattery });
  await any.refresh();
  assertEquals(any.availability.accepting, true);
  const mains = donor({ on_battery: false }, { onBattery });
  await mains.refresh();
  assertEquals(mains.availability, { accepting: false, reason: "battery", cores: 0 });

  const unknown = donor({ on_battery: false }, { onBattery: () => Promise.resolve(undefined) });
  await unknown.refresh();
  assertEquals([unknown.isBatteryUnknown, unknown.availability.accepting], [true, true]);
});

Deno.test("availability is a share of the cores while the load is high", () => {
  const busy = { busy_load_percent: 50, busy_cores_percent: 25 };
  assertEquals(donor(busy, { load: () => 4 }).availability.cores, 8);
  const { availability } = donor(busy, { load: () => 4.1 });
  assertEquals(availability, { accepting: true, reason: "load", cores: 2 });
  const config = defaultConfig();
  assertEquals(remotePolicy(config, availability).jobs, 2);
  const none = donor({ ...busy, busy_cores_percent: 0 }, { load: () => 9 });
  assertEquals(none.availability, { accepting: false, reason: "load", cores: 0 });
  assertEquals(
    remotePolicy(config, none.availability).closed,
    "node accepts no jobs of peers while its load is high",
  );
});
