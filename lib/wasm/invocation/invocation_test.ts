import { assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { findInvocation, formatResults, parseArguments } from "./invocation.ts";

const FUNCTIONS = [
  { name: "add", text: "i32 i32 -> i32", parameters: ["i32", "i32"], results: ["i32"] },
  { name: "say", text: "(string)", parameters: ["string"], results: [] },
];

function refusal(name: string, ...args: string[]): string {
  return assertThrows(() => findInvocation(FUNCTIONS, { name, args }), PlasmError).message;
}

Deno.test("findInvocation() finds a function of numbers, and names what there is otherwise", () => {
  assertEquals(findInvocation(FUNCTIONS, { name: "add", args: ["1", "2"] }).results, ["i32"]);
  assertEquals(
    refusal("sub"),
    'Cannot run module: it exports no function "sub", its functions are "add"',
  );
  assertEquals(
    refusal("say", "x"),
    'Cannot run module: its function "say" has type (string), only functions of numbers can be called',
  );
  assertEquals(refusal("add", "1"), 'Cannot call "add": it takes (i32, i32), found 1 arguments');
});

Deno.test("parseArguments() accepts the numbers of each type, and nothing else", () => {
  const cases: [type: string, good: [string, number | bigint][], bad: string[]][] = [
    ["u8", [["0", 0], ["255", 255], ["0xff", 255]], ["256", "-1", "1.0", "", "x", " 1"]],
    ["s8", [["-128", -128], ["+5", 5]], ["128", "-129"]],
    ["i32", [["4294967295", 4294967295], ["-2147483648", -2147483648]], ["4294967296", "1e3"]],
    ["u64", [["18446744073709551615", 2n ** 64n - 1n]], ["18446744073709551616", "-1"]],
    ["s64", [["-9223372036854775808", -(2n ** 63n)]], ["9223372036854775808"]],
    ["f64", [["1e3", 1000], ["-.5", -0.5], ["inf", Infinity], ["-inf", -Infinity]], [
      "Infinity",
      "1,5",
      "0x1",
      "e5",
    ]],
  ];
  for (const [type, good, bad] of cases) {
    const call = { name: "f", parameters: [type], results: [] };
    for (const [text, value] of good) assertEquals(parseArguments(call, [text]), [value]);
    for (const text of bad) {
      assertThrows(() => parseArguments(call, [text]), PlasmError, `expected ${type}`);
    }
  }
  assertEquals(parseArguments({ name: "f", parameters: ["f32"], results: [] }, ["nan"]), [NaN]);
});

Deno.test("formatResults() writes one number a line", () => {
  const call = { name: "f", parameters: [], results: ["i32", "i64", "f64", "f32", "f64"] };
  assertEquals(
    formatResults(call, [-1, 2n ** 62n, 0.5, NaN, -Infinity]),
    "-1\n4611686018427387904\n0.5\nnan\n-inf\n",
  );
  assertEquals(formatResults({ name: "f", parameters: [], results: [] }, []), "");
});
