import { assertEquals, assertNotEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { tempDir } from "../../tests/fixtures/temp_dir.ts";
import { PlasmError } from "./errors/mod.ts";
import {
  ephemeralIdentity,
  IDENTITY_FILE,
  identityFromSecretKey,
  loadIdentity,
  loadOrCreateIdentity,
} from "./identity.ts";
import { fromHex, toHex } from "../util/bytes.ts";
import { isValidSignature } from "./signature.ts";

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map((entry) => entry.name).sort();
}

async function refusal(dir: string): Promise<PlasmError> {
  return await assertRejects(() => loadOrCreateIdentity(dir), PlasmError);
}

Deno.test("identityFromSecretKey() returns the key, the peer id and valid signatures", async () => {
  // RFC 8032, section 7.1, test 2.
  const secretKey = fromHex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
  const identity = await identityFromSecretKey(secretKey);
  assertEquals(
    identity.publicKey,
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
  );
  assertEquals(
    toHex(await identity.sign(Uint8Array.of(0x72))),
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  );
  assertStringIncludes(identity.peerId, "12D3KooW");
});

Deno.test("identityFromSecretKey() copies the secret and hides it from JSON and logs", async () => {
  const secretKey = crypto.getRandomValues(new Uint8Array(32));
  const hex = toHex(secretKey);
  const identity = await identityFromSecretKey(secretKey);
  secretKey.fill(0);
  assertEquals(toHex(identity.secretKey), hex);
  assertEquals(Object.keys({ ...identity }).sort(), ["peerId", "publicKey", "sign"]);
  assertEquals(Deno.inspect(identity).includes("secretKey"), false);
  assertEquals(JSON.stringify(identity).includes("secretKey"), false);
});

Deno.test("ephemeralIdentity() returns a new identity on each call", async () => {
  const [a, b] = [await ephemeralIdentity(), await ephemeralIdentity()];
  assertNotEquals(a.peerId, b.peerId);
});

Deno.test("loadOrCreateIdentity() creates a private key on the first call and loads it afterwards", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const state = `${dir}/a/state`;
  assertEquals(await loadIdentity(state), undefined);
  const first = await loadOrCreateIdentity(state);
  assertEquals(names(state), [IDENTITY_FILE]);
  assertEquals((await Deno.stat(`${state}/${IDENTITY_FILE}`)).mode! & 0o777, 0o600);
  assertEquals((await Deno.stat(state)).mode! & 0o777, 0o700);
  const second = await loadOrCreateIdentity(state);
  assertEquals(second.secretKey, first.secretKey);
  const bytes = new TextEncoder().encode("x");
  const signature = toHex(await second.sign(bytes));
  assertEquals(await isValidSignature({ bytes, signature, publicKey: first.publicKey }), true);
});

Deno.test("loadOrCreateIdentity() returns the same identity to concurrent calls", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const starters = Array.from({ length: 20 }, () => loadOrCreateIdentity(dir));
  const identities = await Promise.all(starters);
  assertEquals(new Set(identities.map(({ peerId }) => peerId)).size, 1);
  assertEquals(names(dir), [IDENTITY_FILE]);
});

Deno.test("loadOrCreateIdentity() writes a key that WebCrypto reads as PKCS #8", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const identity = await loadOrCreateIdentity(dir);
  const pem = await Deno.readTextFile(`${dir}/${IDENTITY_FILE}`);
  const der = Uint8Array.fromBase64(pem.split("\n")[1]!);
  const key = await crypto.subtle.importKey("pkcs8", der, "Ed25519", true, ["sign"]);
  const jwk = await crypto.subtle.exportKey("jwk", key);
  const publicKey = Uint8Array.fromBase64(jwk.x!, { alphabet: "base64url" });
  assertEquals(toHex(publicKey), identity.publicKey);
});

Deno.test("loadOrCreateIdentity() throws and changes nothing when the file is not a key", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const path = `${dir}/${IDENTITY_FILE}`;
  await loadOrCreateIdentity(dir);
  const good = await Deno.readTextFile(path);
  const bad = [
    ...[
      "",
      "\n",
      "x",
      good.slice(0, -10),
      `${good}\n\n`,
      ` ${good}`,
      good.replace("MC4C", "MC4D"),
    ],
    good.replace("PRIVATE", "PUBLIC"),
    good.replaceAll("\n", "\r\n"),
  ];
  for (const text of bad) {
    await Deno.writeTextFile(path, text);
    const error = await refusal(dir);
    assertEquals({ code: error.code, exitCode: error.exitCode }, {
      code: "bad-identity",
      exitCode: 78,
    });
    assertEquals(error.hint?.includes("Restore"), true);
    assertEquals(error.message.includes("PRIVATE KEY"), false);
    assertEquals(await Deno.readTextFile(path), text);
  }
  await Deno.writeTextFile(path, good.trimEnd());
  await loadOrCreateIdentity(dir);
});

Deno.test("loadOrCreateIdentity() throws when other users can read the key", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await loadOrCreateIdentity(dir);
  for (const mode of [0o640, 0o604, 0o620, 0o610]) {
    await Deno.chmod(`${dir}/${IDENTITY_FILE}`, mode);
    const { code, message, hint } = await refusal(dir);
    assertEquals(code, "bad-identity");
    assertStringIncludes(message, `its mode is 0${mode.toString(8)}, allowed is 0600`);
    assertStringIncludes(hint!, "chmod 600");
  }
});
