import { assertEquals } from "@std/assert";
import { ERRNO } from "./abi.ts";
import { FakeGuest } from "../../../tests/fixtures/fake_guest.ts";

const POINTERS = 256;
const BUFFER = 512;

function listed(guest: FakeGuest, family: "args" | "environ"): string[] {
  assertEquals(guest.call(`${family}_sizes_get`, 0, 4), 0);
  const [count, size] = [guest.view.getUint32(0, true), guest.view.getUint32(4, true)];
  assertEquals(guest.call(`${family}_get`, POINTERS, BUFFER), 0);
  const text = guest.text(BUFFER, size);
  const starts = Array.from(
    { length: count },
    (_, i) => guest.view.getUint32(POINTERS + 4 * i, true),
  );
  const strings = text.split("\0").slice(0, -1);
  assertEquals(strings.length, count);
  starts.forEach((start, i) => {
    const bytes = new TextEncoder().encode(strings[i]).length;
    assertEquals(guest.text(start, bytes), strings[i]);
  });
  return strings;
}

Deno.test("args_get() gives all arguments", () => {
  const args = ["guest", "first", 'the "second" arg', "", "ünï"];
  assertEquals(listed(new FakeGuest({ args }), "args"), args);
  assertEquals(listed(new FakeGuest({ args: [] }), "args"), []);
});

Deno.test("environ_get() gives all variables", () => {
  const env = { a: "text", b: 'escape " ing', c: "new\nline", ["__proto__"]: "x" };
  const expected = ["a=text", 'b=escape " ing', "c=new\nline", "__proto__=x"];
  assertEquals(listed(new FakeGuest({ env }), "environ"), expected);
  assertEquals(listed(new FakeGuest(), "environ"), []);
});

Deno.test("args_get() writes nothing outside", () => {
  const guest = new FakeGuest({ args: ["0123456789"] });
  const end = guest.bytes.length;
  assertEquals(guest.call("args_get", end - 3, 0), ERRNO.FAULT);
  assertEquals(guest.call("args_get", 0, end - 10), ERRNO.FAULT);
  assertEquals(guest.call("args_get", 0, end - 11), 0);
  assertEquals(guest.call("args_sizes_get", -4, 0), ERRNO.FAULT);
  assertEquals(guest.call("args_sizes_get", 0, end - 3), ERRNO.FAULT);
});
