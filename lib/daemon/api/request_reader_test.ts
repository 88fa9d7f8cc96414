import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { concat } from "../../util/bytes.ts";
import { MAX_HEAD_BYTES, RequestReader } from "./request_reader.ts";

/** Source that delivers text in pieces of a size, then ends. */
function sourceOf(text: string, pieceBytes: number): {
  read(into: Uint8Array): Promise<number | null>;
} {
  let rest = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  return {
    read(into) {
      if (rest.length === 0) return Promise.resolve(null);
      const piece = rest.subarray(0, Math.min(pieceBytes, into.length));
      into.set(piece);
      rest = rest.subarray(piece.length);
      return Promise.resolve(piece.length);
    },
  };
}

/** Reads all requests of a connection: their methods and targets, and their bytes. */
async function readAll(text: string, pieceBytes: number): Promise<[string, string][]> {
  const reader = new RequestReader(sourceOf(text, pieceBytes));
  const requests: [string, string][] = [];
  for (let head; (head = await reader.head()) !== undefined;) {
    const parts: Uint8Array[] = [];
    for (let part; (part = await reader.take()) !== undefined;) parts.push(part.slice());
    const bytes = new TextDecoder("latin1").decode(concat(parts));
    requests.push([`${head.method} ${head.target}`, bytes]);
  }
  return requests;
}

const GET = "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n";
const CHUNKED = "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
const SIZED = "POST /s HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nG\r\nT / HT";
const PIECES = [1, 2, 3, 7, 64, 100_000];

Deno.test("RequestReader finds the end of each request however its bytes arrive", async () => {
  const requests: [string, string][] = [
    ["GET /a?b=c", GET],
    ["POST /c", `${CHUNKED}5\r\nGET /\r\n00A;name="v;\tw"\r\n0\r\n\r\nPOST \r\n0;x\r\n\r\n`],
    ["POST /c", `${CHUNKED}0\r\nTrailer: v\r\nOther:\r\n\r\n`],
    ["POST /s", SIZED],
    [
      "GET /d",
      "GET http://X:1/d HTTP/1.1\r\nHost: x:1\r\nEmpty:\r\nAccept:\t a \r\nAccept: b\r\n\r\n",
    ],
    ["OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["GET /old", "GET /old HTTP/1.0\r\n\r\n"],
  ];
  for (const pieceBytes of PIECES) {
    assertEquals(await readAll(requests.map(([, bytes]) => bytes).join(""), pieceBytes), requests);
    assertEquals(await readAll(`\r\n${GET}\r\n${GET}`, pieceBytes), [
      ["GET /a?b=c", GET],
      ["GET /a?b=c", GET],
    ]);
  }
});

/** Messages whose length or fields recipients read differently, or that end early. */
const REFUSED: Record<string, string> = {
  "line does not end with CRLF": GET.replaceAll("\r\n", "\n"),
  "it has both content-length and transfer-encoding":
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "content-length is repeated":
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
  "host is missing": "GET / HTTP/1.1\r\n\r\n",
  "chunk does not end with CRLF": `${CHUNKED}1\r\nab\r\n0\r\n\r\n`,
  "chunk size does not end with CRLF": `${CHUNKED}1\rX\na\r\n0\r\n\r\n`,
  "chunk size is malformed": `${CHUNKED}1\na\r\n0\r\n\r\n`,
  "chunk size is too long": `${CHUNKED}${"f".repeat(13)}\r\n`,
  "chunk extension is malformed": `${CHUNKED}1;a\nb\r\na\r\n0\r\n\r\n`,
  "header field is malformed": `${CHUNKED}0\r\nTrailer : v\r\n\r\n`,
  "trailer does not end with CRLF": `${CHUNKED}0\r\nTrailer: v\rGET /\r\n\r\n`,
  "connection ended within the head": GET.slice(0, -1),
  "connection ended within the body": SIZED.slice(0, -1),
};

Deno.test("RequestReader rejects ambiguous and incomplete requests however their bytes arrive", async () => {
  for (const [message, text] of Object.entries(REFUSED)) {
    for (const pieceBytes of PIECES) {
      const error = await assertRejects(() => readAll(text, pieceBytes), PlasmError);
      assertEquals({ code: error.code, message: error.message }, {
        code: "usage",
        message: `Cannot read request: ${message}`,
      });
    }
  }
});

Deno.test("RequestReader limits heads, chunk extensions and trailers", async () => {
  const long = "a".repeat(MAX_HEAD_BYTES + 1);
  const endless = [
    `GET / HTTP/1.1\r\nHost: x\r\nX: ${long}`,
    `GET / HTTP/1.1\r\nHost: x\r\nX: ${long}\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: x\r\n${"X: a\r\n".repeat(MAX_HEAD_BYTES)}`,
    `${CHUNKED}1;${long}`,
    `${CHUNKED}${`1;${"a".repeat(100)}\r\na\r\n`.repeat(200)}`,
    `${CHUNKED}0\r\nX: ${long}`,
  ];
  for (const text of endless) {
    const error = await assertRejects(() => readAll(text, 5000), PlasmError);
    assertEquals(error.code, "too-large");
  }
});
