/**
 * Draws the diagram of ARCHITECTURE.md as scripts/diagram/architecture.svg.
 *
 *     deno run --allow-read --allow-write --allow-run scripts/diagram/render.ts
 *
 * Needs npm, and Debian's chromium and fonts-dejavu-core. Not part of CI: a test sees when the picture is
 * not of the current text.
 * @module
 */
import { sha256 } from "../compile/checksums.ts";
import { run } from "../compile/process.ts";
import { diagramSource, PICTURE, sourceMark } from "./source.ts";

const MERMAID = "mermaid@12.3.0";
const MERMAID_FILE = "package/dist/mermaid.min.js";
const MERMAID_SHA256 = "336df803d87a38b70a01e736e666c8f7601d2ce42f5e47c8fafe5d721074b9a3";

/** Text is measured with the first; it has the widths of the second, which other systems have. */
const FONTS = '"DejaVu Sans", Verdana, sans-serif';

/** Text is SVG, not HTML in it, which many viewers do not show. The same text gives the same picture. */
const CONFIG = {
  startOnLoad: false,
  deterministicIds: true,
  htmlLabels: false,
  theme: "neutral",
  layout: "dagre",
  fontFamily: FONTS,
  themeVariables: { edgeLabelBackground: "#fff" },
  flowchart: {
    htmlLabels: false,
    useMaxWidth: false,
    nodeSpacing: 30,
    rankSpacing: 30,
    wrappingWidth: 300,
  },
};

/** In milliseconds of the page's own clock. */
const PATIENCE_MS = 60_000;

const CHROMIUM = [
  ...["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  ...["--no-first-run", `--virtual-time-budget=${PATIENCE_MS}`, "--dump-dom"],
];

async function draw(source: string): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: "plasm-diagram-" });
  try {
    const archive = (await run(["npm", "pack", "--silent", MERMAID], { cwd: dir })).trim();
    await run(["tar", "-xzf", archive, MERMAID_FILE], { cwd: dir });
    const found = await sha256(await Deno.readFile(`${dir}/${MERMAID_FILE}`));
    if (found !== MERMAID_SHA256) throw new Error(`${MERMAID_FILE} has the hash ${found}`);
    const page = `<!doctype html><meta charset="utf-8"><script src="${MERMAID_FILE}"></script>
      <body><script>
        mermaid.initialize(${JSON.stringify(CONFIG)});
        mermaid.render("diagram", ${JSON.stringify(source).replaceAll("<", "\\u003c")}).then(
          ({ svg }) => { document.body.textContent = btoa(unescape(encodeURIComponent(svg))); });
      </script></body>`;
    await Deno.writeTextFile(`${dir}/page.html`, page);
    const [program, ...flags] = CHROMIUM;
    const dom = await run([program!, ...flags, `--user-data-dir=${dir}/profile`, "page.html"], {
      cwd: dir,
    });
    const encoded = /<body>([\w+/=]+)<\/body>/.exec(dom)?.[1];
    if (encoded === undefined) throw new Error(`chromium gave no picture: ${dom.slice(0, 500)}`);
    return new TextDecoder().decode(Uint8Array.fromBase64(encoded));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Its own background, so that it can be read on any page; and what it was made of. */
function finish(svg: string, mark: string): string {
  return svg.replace(/^<svg ([^>]*)>/, (_, attributes: string) => {
    const [x, y, width, height] = /viewBox="([^"]*)"/.exec(attributes)![1]!.split(" ");
    const background = `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="#fff"/>`;
    return `<svg ${attributes}>${mark}${background}`;
  }) + "\n";
}

if (import.meta.main) {
  const source = await diagramSource();
  await Deno.writeTextFile(PICTURE, finish(await draw(source), await sourceMark(source)));
}
