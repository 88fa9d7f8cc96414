/* Repeated SHA-256 compression, entirely in main: a hot function that is called once. */

#include <stdint.h>
#include <stdio.h>

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define ROUNDS 2000000

/* The values of the constants do not affect the time. */
static uint32_t constant(int i) { return 0x9e3779b9u * (uint32_t)(i + 1); }

int main(void) {
  uint32_t state[8] = {1, 2, 3, 4, 5, 6, 7, 8}, k[64], w[64];
  for (int i = 0; i < 64; i++) k[i] = constant(i);
  for (uint32_t round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < 16; i++) w[i] = round * (uint32_t)i + state[i & 7];
    for (int i = 16; i < 64; i++) {
      uint32_t s0 = ROTATE(w[i - 15], 7) ^ ROTATE(w[i - 15], 18) ^ w[i - 15] >> 3;
      uint32_t s1 = ROTATE(w[i - 2], 17) ^ ROTATE(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; i++) {
      uint32_t t1 = h + (ROTATE(e, 6) ^ ROTATE(e, 11) ^ ROTATE(e, 25)) + ((e & f) ^ (~e & g)) +
                    k[i] + w[i];
      uint32_t t2 = (ROTATE(a, 2) ^ ROTATE(a, 13) ^ ROTATE(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
  }
  for (int i = 0; i < 8; i++) printf("%08x", state[i]);
  puts("");
  return 0;
}
