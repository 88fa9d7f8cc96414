/**
 * Fails if the line coverage of lib, excluding generated files, is below a threshold: `coverage.ts LCOV PERCENT`.
 * @module
 */
const [path, threshold] = [Deno.args[0]!, Number(Deno.args[1])];
let inLib = false;
let found = 0;
let hit = 0;
for (const line of (await Deno.readTextFile(path)).split("\n")) {
  const [key, value] = line.split(":") as [string, string | undefined];
  if (key === "SF") inLib = /\/lib\/(?!.*(_test|\.gen)\.ts)/.test(line);
  if (inLib && key === "LF") found += Number(value);
  if (inLib && key === "LH") hit += Number(value);
}
const percent = 100 * hit / found;
console.log(`Line coverage of lib: ${percent.toFixed(1)} % of ${found} lines`);
if (!(percent >= threshold)) {
  console.error(`error: coverage is below ${threshold} %`);
  Deno.exit(1);
}
