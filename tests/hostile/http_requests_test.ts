/**
 * Tests requests that HTTP parsers read differently, as in request smuggling: each is refused, and nothing behind it is
 * served.
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { writeAll } from "../../lib/util/bytes.ts";
import { testDaemon } from "../fixtures/daemon/harness.ts";

/** Sends text and reads until the server closes the connection. */
async function exchange(conn: Deno.Conn, text: string): Promise<string> {
  using _conn = conn;
  await writeAll(conn, Uint8Array.from(text, (letter) => letter.charCodeAt(0)));
  let response = "";
  const buffer = new Uint8Array(4096);
  const decoder = new TextDecoder();
  for (let size; (size = await conn.read(buffer)) !== null;) {
    response += decoder.decode(buffer.subarray(0, size), { stream: true });
  }
  return response;
}

/** Status codes of all responses on a connection. */
function statuses(response: string): number[] {
  return [...response.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
}

/** Request that must not be served: `H` stands for the fields that authorize it. */
const SMUGGLED = "GET /smuggled HTTP/1.1\r\nH\r\n\r\n";

/** A post with these fields and this body, and a request behind it. */
function post(fields: readonly string[], body = ""): string {
  return `POST /v1/jobs HTTP/1.1\r\nH\r\n${fields.join("\r\n")}\r\n\r\n${body}${SMUGGLED}`;
}

/** A get whose head contains this line, and a request behind it. */
function get(line: string): string {
  return `GET /health HTTP/1.1\r\nH\r\n${line}\r\n\r\n${SMUGGLED}`;
}

/** A chunked post with this body, and a request behind it. */
function chunked(body: string): string {
  return post(["Transfer-Encoding: chunked"], body);
}

const SIZE = "Content-Length: 5";
const CODING = "Transfer-Encoding: chunked";

const REFUSED: Readonly<Record<string, string>> = {
  // Sections 6.1 and 6.3 of RFC 9112: the length of the body.
  "a length, then a coding": post([SIZE, CODING], "0\r\n\r\n"),
  "a coding, then a length": post([CODING, SIZE], "0\r\n\r\n"),
  "a length of zero and a coding": post(["Content-Length: 0", CODING], "0\r\n\r\n"),
  "an empty length and a coding": post(["Content-Length:", CODING], "0\r\n\r\n"),
  "a length and an unknown coding": post([SIZE, "Transfer-Encoding: identity"], "abcde"),
  "a length and an empty coding": post([SIZE, "Transfer-Encoding:"], "abcde"),
  "a coding before chunked": post(["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n"),
  "a coding after chunked": post(["Transfer-Encoding: chunked, identity"], "0\r\n\r\n"),
  "chunked twice": post(["Transfer-Encoding: chunked, chunked"], "0\r\n\r\n"),
  "two codings": post([CODING, CODING], "0\r\n\r\n"),
  "two different codings": post([CODING, "Transfer-Encoding: x"], "0\r\n\r\n"),
  "a quoted coding": post(['Transfer-Encoding: "chunked"'], "0\r\n\r\n"),
  "a coding with a parameter": post(["Transfer-Encoding: chunked;q=1"], "0\r\n\r\n"),
  "a coding with a vertical tab": post(["Transfer-Encoding: \x0bchunked"], "0\r\n\r\n"),
  "a coding with a non-breaking space": post(["Transfer-Encoding: \xa0chunked"], "0\r\n\r\n"),
  "a coding in HTTP/1.0": chunked("0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0"),
  "equal lengths": post([SIZE, SIZE], "abcde"),
  "different lengths": post([SIZE, "Content-Length: 0"], "abcde"),
  "a list of equal lengths": post(["Content-Length: 5, 5"], "abcde"),
  "a list of different lengths": post(["Content-Length: 5, 0"], "abcde"),
  "a length with a sign": post(["Content-Length: +5"], "abcde"),
  "a negative length": post(["Content-Length: -5"], "abcde"),
  "a hexadecimal length": post(["Content-Length: 0x5"], "abcde"),
  "a fractional length": post(["Content-Length: 5.0"], "abcde"),
  "a length in words": post(["Content-Length: five"], "abcde"),
  "a length with a space within": post(["Content-Length: 0 5"], "abcde"),
  "a length beyond 64 bits": post(["Content-Length: 18446744073709551621"], "abcde"),
  // Section 2.2: lines.
  "bare LF everywhere": get("X: a").replaceAll("\r\n", "\n"),
  "bare LF after the request line": get("X: a").replace("HTTP/1.1\r\n", "HTTP/1.1\n"),
  "bare LF after a field": get(`X: a\n${CODING}`),
  "bare LF as the empty line": "GET /health HTTP/1.1\r\nH\r\n\n" + SMUGGLED,
  "bare LF before the empty line": "GET /health HTTP/1.1\r\nH\n\r\n" + SMUGGLED,
  "bare CR after a field": get(`X: a\r${CODING}`),
  "bare CR within a field": get("X: a\rb"),
  "CR CR LF": get("X: a\r"),
  "NUL within a field": get("X: a\0b"),
  "two empty lines before the request": `\r\n\r\n${SMUGGLED}`,
  "bare LF before the request": `\n${SMUGGLED}`,
  "white space before the request": ` ${SMUGGLED}`,
  // Section 3: the request line.
  "white space within the target": get("X: a").replace("/health", "/hea lth"),
  "two spaces after the method": get("X: a").replace("GET ", "GET  "),
  "a tab after the method": get("X: a").replace("GET ", "GET\t"),
  "white space after the version": get("X: a").replace("HTTP/1.1", "HTTP/1.1 "),
  "a method in lower case": get("X: a").replace("GET", "get"),
  "no version": get("X: a").replace(" HTTP/1.1", ""),
  "HTTP/0.9": "GET /health\r\n" + SMUGGLED,
  "another version": get("X: a").replace("HTTP/1.1", "HTTP/1.2"),
  "a foreign authority": get("X: a").replace("/health", "http://evil.example/health"),
  "user information in the target": get("X: a").replace("/health", "http://a@localhost/health"),
  "a control character in the target": get("X: a").replace("/health", "/\x7f"),
  "CONNECT": get("X: a").replace("GET /health", "CONNECT localhost:80"),
  "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
  "a TLS record": "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
  // Section 5: fields.
  "a space before the colon": get("X : a"),
  "a tab before the colon": get("X\t: a"),
  "a space before the colon of the length": post(["Content-Length : 5"], "abcde"),
  "a space before the colon of the coding": post(["Transfer-Encoding : chunked"], "0\r\n\r\n"),
  "a folded value": get("X: a\r\n b"),
  "a folded coding": post(["Transfer-Encoding:\r\n chunked"], "0\r\n\r\n"),
  "a folded length": post(["Content-Length:\r\n\t5"], "abcde"),
  "a fold as the first field": get("X: a").replace("H\r\n", " X: a\r\nH\r\n"),
  "no colon": get("X"),
  "no name": get(": a"),
  "a name with a control character": get("X\x01: a"),
  "a name with a letter beyond ASCII": get("X\xe4: a"),
  "a name with a parenthesis": get("X(): a"),
  "a second host": get("Host: evil.example"),
  "a second, equal host": get("Host: localhost"),
  "no host": "GET /health HTTP/1.1\r\nX: a\r\n\r\n" + SMUGGLED,
  "a second authorization": get("Authorization: Bearer a\r\nAuthorization: Bearer b"),
  "a head of 20 KB": get(`X: ${"a".repeat(20_000)}`),
  // Section 7.1: the chunked coding.
  "a chunk with bare LF after its size": chunked("5\nabcde\r\n0\r\n\r\n"),
  "a chunk with bare CR after its size": chunked("5\rabcde\r\n0\r\n\r\n"),
  "a chunk with bare LF after its data": chunked("5\r\nabcde\n0\r\n\r\n"),
  "a chunk longer than its size": chunked("3\r\nabcde\r\n0\r\n\r\n"),
  "a chunk size with 0x": chunked("0x5\r\nabcde\r\n0\r\n\r\n"),
  "a chunk size with a sign": chunked("+5\r\nabcde\r\n0\r\n\r\n"),
  "a negative chunk size": chunked("-1\r\n\r\n"),
  "a chunk size with white space before": chunked(" 5\r\nabcde\r\n0\r\n\r\n"),
  "a chunk size with white space behind": chunked("5 \r\nabcde\r\n0\r\n\r\n"),
  "a chunk size with an underscore": chunked("0_5\r\nabcde\r\n0\r\n\r\n"),
  "no chunk size": chunked("\r\n\r\n"),
  "a chunk size beyond 64 bits": chunked("10000000000000005\r\nabcde\r\n0\r\n\r\n"),
  "a chunk extension with bare LF": chunked("5;a\nb\r\nabcde\r\n0\r\n\r\n"),
  "a chunk extension with bare CR": chunked("5;a\rb\r\nabcde\r\n0\r\n\r\n"),
  "a last chunk with bare LF": chunked("0\n\n"),
  "a last chunk with one bare LF": chunked("0\r\n\n"),
  "a trailer with bare LF": chunked("0\r\nX: a\n\r\n"),
  "a trailer with a space before the colon": chunked("0\r\nX : a\r\n\r\n"),
  "a folded trailer": chunked("0\r\nX: a\r\n b\r\n\r\n"),
};

/** Requests that must be served although they are unusual, each with the statuses of its responses. */
const SERVED: Readonly<Record<string, [number[], string]>> = {
  "an empty line before the request": [
    [200],
    "\r\nGET /health HTTP/1.1\r\nH\r\nConnection: close\r\n\r\n",
  ],
  "a target in absolute form": [
    [200],
    "GET http://localhost/health HTTP/1.1\r\nH\r\nConnection: close\r\n\r\n",
  ],
  "two requests at once": [
    [200, 404],
    `GET /health HTTP/1.1\r\nH\r\n\r\nGET /x HTTP/1.1\r\nH\r\nConnection: close\r\n\r\n`,
  ],
  "chunks with extensions": [
    [400, 200],
    `POST /v1/jobs HTTP/1.1\r\nH\r\nContent-Type: application/json\r\n${CODING}\r\n\r\n` +
    '1;a="b"\r\n{\r\n01\r\n}\r\n00\r\n\r\n' +
    "GET /health HTTP/1.1\r\nH\r\nConnection: close\r\n\r\n",
  ],
  // The server of Deno 2.7 closes the connection behind trailers.
  "trailers": [
    [400],
    `POST /v1/jobs HTTP/1.1\r\nH\r\nContent-Type: application/json\r\n${CODING}\r\n` +
    "Connection: close\r\n\r\n2\r\n{}\r\n0\r\nX: a\r\n\r\n",
  ],
};

const CASES = [
  ["unix", "the API refuses ambiguous requests and closes the connection, over unix"],
  ["tcp", "the API refuses ambiguous requests and closes the connection, over TCP"],
] as const;

for (const [transport, name] of CASES) {
  Deno.test(name, async () => {
    await using fixture = await testDaemon({ config: { "api.tcp.listen": "127.0.0.1:0" } });
    const { daemon } = fixture;
    const { port, token } = daemon.tcp!;
    const host = transport === "unix" ? "localhost" : `127.0.0.1:${port}`;
    const fields = `Host: ${host}\r\nAuthorization: Bearer ${token}`;
    const send = async (text: string): Promise<string> => {
      const conn = transport === "unix"
        ? await Deno.connect({ transport: "unix", path: daemon.socket })
        : await Deno.connect({ hostname: "127.0.0.1", port });
      return await exchange(
        conn,
        text.replace(/^H$|^H(?=\r?\n)/gm, fields).replaceAll("localhost", host),
      );
    };
    const allowed = [400, 413];
    const failures: string[] = [];
    for (const [name, text] of Object.entries(REFUSED)) {
      const response = await send(text);
      const [status, ...others] = statuses(response);
      const isRefused = allowed.includes(status ?? 0) && others.length === 0;
      if (!isRefused || !response.includes('{"error":{')) failures.push(`${name}: ${response}`);
      // Behind a request that is served, on the same connection.
      const behind = await send(`GET /health HTTP/1.1\r\nH\r\n\r\n${text}`);
      const [first, second, ...rest] = statuses(behind);
      if (first !== 200 || !allowed.includes(second ?? 0) || rest.length > 0) {
        // An empty line may precede a request.
        failures.push(`${name}, as the second request: ${behind}`);
      }
    }
    assertEquals(failures, []);
    for (const [name, [expected, text]] of Object.entries(SERVED)) {
      assertEquals({ name, statuses: statuses(await send(text)) }, { name, statuses: expected });
    }
  });

  Deno.test(`servePipe() is not reached by ambiguous requests, over ${transport}`, async () => {
    await using fixture = await testDaemon({ config: { "api.tcp.listen": "127.0.0.1:0" } });
    const { daemon } = fixture;
    const { port, token } = daemon.tcp!;
    const connect = (): Promise<Deno.Conn> =>
      transport === "unix"
        ? Deno.connect({ transport: "unix", path: daemon.socket })
        : Deno.connect({ hostname: "127.0.0.1", port });
    const head =
      `POST /v1/pipe HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${token}\r\n` +
      "Connection: Upgrade\r\nUpgrade: plasm-pipe\r\nContent-Type: application/json\r\n";
    const cases = [
      "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
      "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
      "Content-Length : 2\r\n\r\n{}",
      "Content-Length: 2\n\r\n{}",
      "Content-Length:\r\n 2\r\n\r\n{}",
      "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ];
    for (const rest of cases) {
      const response = await exchange(await connect(), `${head}${rest}`);
      assertEquals({ rest, statuses: statuses(response) }, { rest, statuses: [400] });
      assertStringIncludes(response, '"code":"usage"');
    }
  });
}
