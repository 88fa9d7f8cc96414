import { assert, assertEquals, assertThrows } from "@std/assert";
import { ERRNO } from "./abi.ts";
import {
  BUFFER_POINTER,
  FakeGuest,
  RESULT_POINTER,
  ROOT_FD,
} from "../../../tests/fixtures/fake_guest.ts";
import { WasiExit } from "./wasi_host.ts";

Deno.test("proc_exit() throws WasiExit with the code as it is", () => {
  const guest = new FakeGuest();
  for (const [code, expected] of [[0, 0], [33, 33], [256, 256], [-1, 2 ** 32 - 1]] as const) {
    const exit = assertThrows(() => guest.call("proc_exit", code), WasiExit);
    assertEquals(exit.code, expected);
  }
});

Deno.test("random_get() fills any length and nothing beside it", () => {
  const guest = new FakeGuest();
  for (const length of [0, 1, 1024, 65_536, 65_537, 200_000]) {
    guest.bytes.fill(0);
    assertEquals(guest.call("random_get", BUFFER_POINTER, length), 0);
    assertEquals(guest.bytes.subarray(0, BUFFER_POINTER).some((byte) => byte !== 0), false);
    assertEquals(guest.bytes[BUFFER_POINTER + length], 0);
    // 64 zero bytes at the end come by chance once in 2^512.
    const tail = guest.bytes.subarray(BUFFER_POINTER + length - 64, BUFFER_POINTER + length);
    if (length >= 64) assert(tail.some((byte) => byte !== 0), `${length}`);
  }
});

Deno.test("random_get() fills shared memory", () => {
  const guest = new FakeGuest();
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  guest.wasi.attach(memory);
  assertEquals(guest.call("random_get", 0, 4096), 0);
  assert(new Uint8Array(memory.buffer).subarray(4032, 4096).some((byte) => byte !== 0));
});

Deno.test("proc_raise() and sched_yield() answer as wasmtime does", () => {
  const guest = new FakeGuest();
  assertEquals(guest.call("proc_raise", 9), ERRNO.NOTSUP);
  assertEquals(guest.call("sched_yield"), 0);
});

Deno.test("sock_shutdown() and its kin tell bad descriptors from streams", () => {
  const guest = new FakeGuest();
  const calls: [string, ...number[]][] = [
    ["sock_accept", 0, RESULT_POINTER],
    ["sock_recv", 0, 0, 0, RESULT_POINTER, RESULT_POINTER],
    ["sock_send", 0, 0, 0, RESULT_POINTER],
    ["sock_shutdown", 0],
  ];
  for (const [name, ...rest] of calls) {
    for (const fd of [0, 1, 2]) assertEquals(guest.call(name, fd, ...rest), ERRNO.NOTSOCK, name);
    for (const fd of [ROOT_FD, 99, -1]) {
      assertEquals(guest.call(name, fd, ...rest), ERRNO.BADF, name);
    }
  }
});
