/* Reverses standard input byte by byte. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The whole input is in memory, twice while the buffer is reallocated: fits a job of 256 MB. */
#define MAX_INPUT (96u << 20)
#define FIRST_CAPACITY (64u << 10)

/* No stdio: it would double the module's size. */
static int fail(const char *message) {
  write(STDERR_FILENO, message, strlen(message));
  return 1;
}

int main(void) {
  size_t capacity = FIRST_CAPACITY, length = 0;
  char *bytes = malloc(capacity);
  if (bytes == NULL) return fail("hello: out of memory\n");
  for (;;) {
    if (length == capacity) {
      if (capacity == MAX_INPUT) return fail("hello: the input is 96 MiB or more\n");
      capacity = capacity > MAX_INPUT / 2 ? MAX_INPUT : capacity * 2;
      char *grown = realloc(bytes, capacity);
      if (grown == NULL) return fail("hello: out of memory\n");
      bytes = grown;
    }
    ssize_t count = read(STDIN_FILENO, bytes + length, capacity - length);
    if (count == 0) break;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail("hello: cannot read standard input\n");
    length += (size_t)count;
  }
  for (size_t i = 0; i < length / 2; i++) {
    char byte = bytes[i];
    bytes[i] = bytes[length - 1 - i];
    bytes[length - 1 - i] = byte;
  }
  for (size_t done = 0; done < length;) {
    ssize_t count = write(STDOUT_FILENO, bytes + done, length - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return fail("hello: cannot write standard output\n");
    done += (size_t)count;
  }
  return 0;
}
