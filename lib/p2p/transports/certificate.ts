/**
 * The certificate every plasm node shows on QUIC.
 *
 * QUIC cannot be spoken without TLS, and Deno can neither skip the check of a server's certificate
 * nor send one as a client. So the certificate and its key are the same in every copy of the
 * program and authenticate nothing: authentication and encryption of the peer come from
 * the Noise XX handshake inside the stream. The key is public on purpose.
 * @module
 */

/** The name in the certificate; RFC 6761 keeps it from ever being a real host. */
export const SERVER_NAME = "plasm.invalid";

/** ECDSA P-256, not a CA (webpki refuses a CA as a leaf), valid from 2020 to 2120. */
export const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBkDCCATWgAwIBAgIBATAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1wbGFzbS5p
bnZhbGlkMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1wbGFzbS5pbnZhbGlkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcBKq
UwfUDoQjng9An7SwCmckZ5kxF4q9PTwTzbWlCU7ikFAmK37s53dywLBeMM7+5rsj
tjg8Rt59whb+LiykZ6NuMGwwGAYDVR0RBBEwD4INcGxhc20uaW52YWxpZDAMBgNV
HRMBAf8EAjAAMBMGA1UdJQQMMAoGCCsGAQUFBwMBMA4GA1UdDwEB/wQEAwIHgDAd
BgNVHQ4EFgQUTuIZ0TkeboibaZLwcmwmRLKadpswCgYIKoZIzj0EAwIDSQAwRgIh
ANVOL2DqFoy+OSdV4zMrNjkJCQPtZVGrYJmp5WPAEATTAiEAuw+oLeMyUJICz4ug
8Ql9ZuYa8JRcr3bJCBs//Z8QOpM=
-----END CERTIFICATE-----
`;

/** The key of {@linkcode CERTIFICATE}. Not a secret. */
export const CERTIFICATE_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAPK9yCRE4KSsVmiK
9+SXDzjPNQBs4a8JRGa47nabfNmhRANCAARwEqpTB9QOhCOeD0CftLAKZyRnmTEX
ir09PBPNtaUJTuKQUCYrfuznd3LAsF4wzv7muyO2ODxG3n3CFv4uLKRn
-----END PRIVATE KEY-----
`;
