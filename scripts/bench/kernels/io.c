/* Input and output operations, one kind per run: `io KIND COUNT`. Prints nanoseconds measured by the job's own
   clock. */

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 16];

static int fail(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void report(const char *what, long count, uint64_t since) {
  fprintf(stderr, "%s %ld %llu\n", what, count, (unsigned long long)(now() - since));
}

/* Copies standard input to standard output. */
static void pass(void) {
  uint64_t begin = now();
  long total = 0;
  for (ssize_t got; (got = read(0, buffer, sizeof buffer)) != 0; total += got) {
    if (got < 0) fail("read");
    for (ssize_t at = 0, put; at < got; at += put) {
      if ((put = write(1, buffer + at, (size_t)(got - at))) < 0) fail("write");
    }
  }
  report("pass-through", total, begin);
}

/* Many short writes, one call each. */
static void writes(int fd, const char *what, long count) {
  uint64_t begin = now();
  for (long i = 0; i < count; i++) {
    if (write(fd, "0123456789abcde\n", 16) != 16) fail("write");
  }
  report(what, count, begin);
}


/* Path operations in a directory with many files. */
static void paths(long files) {
  char path[64];
  long count = 200000;
  for (int i = 0; i < 10; i++) {
    snprintf(path, sizeof path, "dir%d", i);
    if (mkdir(path, 0777) != 0) fail("mkdir");
  }
  /* Reads every file of a directory; each contains its own number. */
  uint64_t begin = now();
  for (long i = 0; i < files; i++) {
    snprintf(path, sizeof path, "dir%ld/file-%ld", i % 10, i);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0666);
    if (fd < 0 || close(fd) != 0) fail(path);
  }
  /* The clock's resolution is 100 us: a few files cannot be measured. */
  if (files >= 10000) report("create+close", files, begin);

  /* Names are formatted beforehand to exclude printf from the measurement. */
  char(*names)[32] = malloc((size_t)files * sizeof *names);
  for (long i = 0; i < files; i++) {
    long file = (long)((uint64_t)i * 7919 % (uint64_t)files);
    snprintf(names[i], sizeof *names, "dir%ld/file-%ld", file % 10, file);
  }
  struct stat info;
  begin = now();
  for (long i = 0; i < count; i++) {
    if (stat(names[i % files], &info) != 0) fail("stat");
  }
  report("stat", count, begin);

  begin = now();
  for (long i = 0; i < count; i++) {
    int fd = open(names[i % files], O_RDONLY);
    if (fd < 0 || close(fd) != 0) fail("open");
  }
  report("open+close", count, begin);

  begin = now();
  for (long i = 0; i < count; i++) {
    if (unlink(names[i % files]) != 0) fail("unlink");
    int fd = open(names[i % files], O_CREAT | O_WRONLY, 0666);
    if (fd < 0 || close(fd) != 0) fail("create");
  }
  report("unlink+create+close", count, begin);

  begin = now();
  long entries = 0;
  while (entries < count) {
    for (int i = 0; i < 10; i++) {
      snprintf(path, sizeof path, "dir%d", i);
      DIR *directory = opendir(path);
      if (directory == NULL) fail("opendir");
      while (readdir(directory) != NULL) entries++;
      closedir(directory);
    }
  }
  report("readdir entry", entries, begin);
}

int main(int count, char **arguments) {
  const char *kind = count > 1 ? arguments[1] : "pass";
  long number = count > 2 ? atol(arguments[2]) : 0;
  if (strcmp(kind, "pass") == 0) pass();
  else if (strcmp(kind, "stdout") == 0) writes(1, "write to stdout", number);
  else if (strcmp(kind, "file") == 0) writes(open("out", O_CREAT | O_WRONLY, 0666), "write to a file", number);
  else if (strcmp(kind, "paths") == 0) paths(number);
  else return 2;
  return 0;
}
