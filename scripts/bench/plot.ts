/**
 * Draws line charts as SVG for light and dark backgrounds.
 * @module
 */

/** Named line. */
export interface Line {
  name: string;
  points: (readonly [x: number, y: number])[];
}

/** Labels of the chart. */
export interface PlotOptions {
  title: string;
  /** Label of the horizontal axis. */
  x: string;
}

const WIDTH = 720;
const HEIGHT = 320;
const MARGIN = { left: 56, right: 140, top: 40, bottom: 40 };

/** Colour-blind safe palette (Okabe and Ito). */
const COLOURS = ["#0072B2", "#E69F00", "#CC79A7", "#009E73"];

/** Draws the lines; both axes start at zero. */
export function plot(lines: readonly Line[], { title, x }: PlotOptions): string {
  const points = lines.flatMap((line) => line.points);
  const [maxX, maxY] = [
    nice(Math.max(...points.map(([at]) => at))),
    nice(Math.max(...points.map(([, at]) => at))),
  ];
  const left = (value: number): number =>
    MARGIN.left + value / maxX * (WIDTH - MARGIN.left - MARGIN.right);
  const top = (value: number): number =>
    HEIGHT - MARGIN.bottom - value / maxY * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" fill="#777">`,
    `<title>${title}</title>`,
    `<text x="${MARGIN.left}" y="20" font-size="14">${title}</text>`,
  ];
  for (let tick = 0; tick <= 4; tick++) {
    const [atX, atY] = [maxX * tick / 4, maxY * tick / 4];
    const y = top(atY).toFixed(1);
    parts.push(
      `<path d="M${MARGIN.left} ${y}H${WIDTH - MARGIN.right}" stroke="#777" stroke-opacity=".3"/>`,
      `<text x="${MARGIN.left - 6}" y="${y}" text-anchor="end" dy="4">${
        atY.toLocaleString("en")
      }</text>`,
      `<text x="${left(atX).toFixed(1)}" y="${HEIGHT - 20}" text-anchor="middle">${
        atX.toLocaleString("en")
      }</text>`,
    );
  }
  parts.push(`<text x="${WIDTH - MARGIN.right}" y="${HEIGHT - 4}" text-anchor="end">${x}</text>`);
  for (const [n, { name, points }] of lines.entries()) {
    const path = points.map(([atX, atY]) => `${left(atX).toFixed(1)} ${top(atY).toFixed(1)}`);
    const colour = COLOURS[n % COLOURS.length];
    const end = top(points.at(-1)?.[1] ?? 0).toFixed(1);
    parts.push(
      `<path d="M${path.join("L")}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      `<text x="${WIDTH - MARGIN.right + 8}" y="${end}" dy="4" fill="${colour}">${name}</text>`,
    );
  }
  return [...parts, "</svg>"].join("\n") + "\n";
}

/** Rounds up to 1, 2, 4, 5 or 8 times a power of ten: quarters of these are readable. */
function nice(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 4, 5, 8, 10].map((step) => step * power).find((step) => step >= value)!;
}
