/* In-memory database: inserts, an index, a join, grouping and sorting. */

#include <stdio.h>

#include "sqlite3.h"

/* In-memory databases need no OS interface except a default VFS. */
static int no_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out) {
  (void)vfs, (void)name, (void)file, (void)flags, (void)out;
  return SQLITE_CANTOPEN;
}
static int no_delete(sqlite3_vfs *vfs, const char *name, int sync) {
  (void)vfs, (void)name, (void)sync;
  return SQLITE_IOERR_DELETE;
}
static int no_access(sqlite3_vfs *vfs, const char *name, int flags, int *result) {
  (void)vfs, (void)name, (void)flags;
  *result = 0;
  return SQLITE_OK;
}
static int full_name(sqlite3_vfs *vfs, const char *name, int size, char *out) {
  (void)vfs;
  sqlite3_snprintf(size, out, "%s", name);
  return SQLITE_OK;
}
static int no_random(sqlite3_vfs *vfs, int size, char *out) {
  (void)vfs;
  for (int i = 0; i < size; i++) out[i] = (char)(i * 37 + 11);
  return size;
}
static int no_sleep(sqlite3_vfs *vfs, int us) {
  (void)vfs;
  return us;
}
static int no_time(sqlite3_vfs *vfs, double *time) {
  (void)vfs;
  *time = 2460000.5;
  return SQLITE_OK;
}

static sqlite3_vfs none = {
    .iVersion = 1, .szOsFile = sizeof(sqlite3_file), .mxPathname = 64, .zName = "none",
    .xOpen = no_open, .xDelete = no_delete, .xAccess = no_access, .xFullPathname = full_name,
    .xRandomness = no_random, .xSleep = no_sleep, .xCurrentTime = no_time,
};

int sqlite3_os_init(void) { return sqlite3_vfs_register(&none, 1); }
int sqlite3_os_end(void) { return SQLITE_OK; }

static int print(void *unused, int columns, char **values, char **names) {
  (void)unused, (void)names;
  for (int i = 0; i < columns; i++) printf("%s%c", values[i], i + 1 < columns ? '|' : '\n');
  return 0;
}

static const char SCRIPT[] =
    "CREATE TABLE t(a INTEGER PRIMARY KEY, b INTEGER, c TEXT);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
    " INSERT INTO t SELECT i, (i * 7919) % 30011, 'row ' || i FROM n;"
    "CREATE INDEX tb ON t(b);"
    "SELECT count(*), sum(x), max(l) FROM"
    " (SELECT b, sum(a) x, max(length(c)) l FROM t GROUP BY b HAVING x % 2 = 0);"
    "SELECT count(*) FROM t u JOIN t v ON u.b = v.b AND u.a < v.a;"
    "SELECT c FROM t ORDER BY c DESC LIMIT 3;";

int main(void) {
  sqlite3 *database;
  char *error = NULL;
  if (sqlite3_open(":memory:", &database) != SQLITE_OK) return 1;
  if (sqlite3_exec(database, SCRIPT, print, NULL, &error) != SQLITE_OK) {
    puts(error);
    return 1;
  }
  return sqlite3_close(database);
}
