/**
 * The signatures of all preview1 functions, for tests that call each with all sorts of values.
 *
 * Source: `phases/snapshot/witx/wasi_snapshot_preview1.witx` of WebAssembly/WASI.
 * @module
 */

/** What an argument is; all but `i64` are i32. */
export type Kind = "pointer" | "length" | "fd" | "flags" | "i64";

const P: Kind = "pointer";
const L: Kind = "length";
const F: Kind = "fd";
const G: Kind = "flags";
const I: Kind = "i64";

/** Arguments of each function, results by pointer included. */
export const SIGNATURES: Readonly<Record<string, readonly Kind[]>> = {
  args_get: [P, P],
  args_sizes_get: [P, P],
  environ_get: [P, P],
  environ_sizes_get: [P, P],
  clock_res_get: [G, P],
  clock_time_get: [G, I, P],
  fd_advise: [F, I, I, G],
  fd_allocate: [F, I, I],
  fd_close: [F],
  fd_datasync: [F],
  fd_fdstat_get: [F, P],
  fd_fdstat_set_flags: [F, G],
  fd_fdstat_set_rights: [F, I, I],
  fd_filestat_get: [F, P],
  fd_filestat_set_size: [F, I],
  fd_filestat_set_times: [F, I, I, G],
  fd_pread: [F, P, L, I, P],
  fd_prestat_get: [F, P],
  fd_prestat_dir_name: [F, P, L],
  fd_pwrite: [F, P, L, I, P],
  fd_read: [F, P, L, P],
  fd_readdir: [F, P, L, I, P],
  fd_renumber: [F, F],
  fd_seek: [F, I, G, P],
  fd_sync: [F],
  fd_tell: [F, P],
  fd_write: [F, P, L, P],
  path_create_directory: [F, P, L],
  path_filestat_get: [F, G, P, L, P],
  path_filestat_set_times: [F, G, P, L, I, I, G],
  path_link: [F, G, P, L, F, P, L],
  path_open: [F, G, P, L, G, I, I, G, P],
  path_readlink: [F, P, L, P, L, P],
  path_remove_directory: [F, P, L],
  path_rename: [F, P, L, F, P, L],
  path_symlink: [P, L, F, P, L],
  path_unlink_file: [F, P, L],
  poll_oneoff: [P, P, L, P],
  proc_exit: [G],
  proc_raise: [G],
  sched_yield: [],
  random_get: [P, L],
  sock_accept: [F, G, P],
  sock_recv: [F, P, L, G, P, P],
  sock_send: [F, P, L, G, P],
  sock_shutdown: [F, G],
};
