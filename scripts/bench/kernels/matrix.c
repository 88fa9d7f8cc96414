/* Blocked SIMD matrix product with vectors of four floats. */

#include <stdio.h>

#define SIZE 512
#define REPEATS 8

typedef float vector __attribute__((vector_size(16)));

static float a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE] __attribute__((aligned(16)));

/* Not inlined, to keep the work in a function that is called only a few times. */
__attribute__((noinline)) static void multiply(void) {
  for (int i = 0; i < SIZE; i += 4) {
    for (int j = 0; j < SIZE; j += 4) {
      vector sum[4] = {{0}, {0}, {0}, {0}};
      for (int k = 0; k < SIZE; k++) {
        vector row = *(vector *)&b[k][j];
        for (int r = 0; r < 4; r++) {
          float x = a[i + r][k];
          sum[r] += (vector){x, x, x, x} * row;
        }
      }
      for (int r = 0; r < 4; r++) *(vector *)&c[i + r][j] += sum[r];
    }
  }
}

int main(void) {
  for (int i = 0; i < SIZE; i++) {
    for (int j = 0; j < SIZE; j++) {
      a[i][j] = (float)((i * 7 + j * 3) % 11) / 11;
      b[i][j] = (float)((i * 5 + j * 2) % 13) / 13;
    }
  }
  for (int repeat = 0; repeat < REPEATS; repeat++) multiply();
  double trace = 0;
  for (int i = 0; i < SIZE; i++) trace += c[i][i];
  printf("%.3f\n", trace);
  return 0;
}
