import { assertEquals } from "@std/assert";
import { assemble } from "../../../tests/fixtures/hostile/wat.ts";
import { instrument } from "../../wasm/instrument/mod.ts";
import { FuelGauge } from "./fuel_gauge.ts";

Deno.test("FuelGauge adds up what the instances of a component use, and runs their start functions", async () => {
  const source = await assemble(`(module
    (global (export "started") (mut i32) (i32.const 0))
    (func $start (global.set 0 (i32.const 1)))
    (start $start)
    (func (export "run") nop nop))`);
  const fuel = 20;
  const { bytes } = instrument(source, { fuel });
  const module = new WebAssembly.Module(bytes);
  const gauge = new FuelGauge(fuel);
  const instances = [0, 1].map(() => new WebAssembly.Instance(module));
  for (const instance of instances) {
    assertEquals((instance.exports.started as WebAssembly.Global).value, 0);
    gauge.add(instance);
    assertEquals((instance.exports.started as WebAssembly.Global).value, 1);
  }
  const afterStart = gauge.left();
  assertEquals(afterStart, 16n);
  for (let call = 1; call <= 10; call++) {
    for (const { exports } of instances) (exports.run as () => void)();
    assertEquals(gauge.left(), afterStart - BigInt(call * 4));
    if (gauge.left() < 0n) break;
  }
});
