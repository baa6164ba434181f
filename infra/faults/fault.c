// Makes file calls below one folder fail, in a program that knows nothing of it. For tests on Linux:
//   cc -shared -fPIC -O2 -pthread -o fault.so fault.c -ldl
//   FAULT_PATH=/some/folder FAULT_CALLS=write,sync FAULT_ERRNO=28 LD_PRELOAD=./fault.so program
//
// FAULT_PATH    absolute prefix of the paths concerned
// FAULT_CALLS   of open, read, write, sync, rename, mkdir, unlink (comma-separated); default write,sync
// FAULT_ERRNO   default 28 (ENOSPC)
// FAULT_AT      only the n-th such call fails (1 is the first); default: all of them
// FAULT_SWITCH  a file: nothing fails while it does not exist
// FAULT_LOG     a file that gets one line for each call that was made to fail
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long seen;

static int is_listed(const char *call) {
  const char *calls = getenv("FAULT_CALLS");
  if (calls == NULL) calls = "write,sync";
  size_t length = strlen(call);
  for (const char *at = calls; (at = strstr(at, call)) != NULL; at += length)
    if ((at == calls || at[-1] == ',') && (at[length] == 0 || at[length] == ',')) return 1;
  return 0;
}

// Raw system calls: the library's own work must neither count nor fail.
static void log_hit(const char *call, const char *path) {
  const char *log = getenv("FAULT_LOG");
  if (log == NULL) return;
  char line[PATH_MAX + 32];
  int length = snprintf(line, sizeof line, "%s %s\n", call, path);
  long fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (fd < 0) return;
  if (length > 0) syscall(SYS_write, fd, line, (size_t)length);
  syscall(SYS_close, fd);
}

// A path that leads through an open folder (/proc/<pid>/fd/<n>/rest) by its name.
static const char *named(const char *path, char *room, size_t size) {
  int end = 0;
  char link[PATH_MAX];
  if (sscanf(path, "/proc/%*d/fd/%*d%n", &end) < 0 || end == 0 || (size_t)end >= sizeof link) return path;
  memcpy(link, path, (size_t)end);
  link[end] = 0;
  ssize_t length = readlink(link, room, size - 1);
  if (length <= 0 || (size_t)length + strlen(path + end) >= size) return path;
  strcpy(room + length, path + end);
  return room;
}

static int must_fail(const char *call, const char *given) {
  int before = errno;
  char room[PATH_MAX];
  const char *path = named(given, room, sizeof room);
  const char *prefix = getenv("FAULT_PATH"), *gate = getenv("FAULT_SWITCH");
  const char *at = getenv("FAULT_AT"), *number = getenv("FAULT_ERRNO");
  int hit = prefix != NULL && strncmp(path, prefix, strlen(prefix)) == 0 && is_listed(call) &&
            (gate == NULL || syscall(SYS_faccessat, AT_FDCWD, gate, F_OK) == 0);
  if (hit) {
    long mine = atomic_fetch_add(&seen, 1) + 1;
    hit = at == NULL || atol(at) == mine;
  }
  if (hit) log_hit(call, path);
  errno = hit ? (number != NULL ? atoi(number) : ENOSPC) : before;
  return hit;
}

static int fd_must_fail(const char *call, int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  int before = errno;
  ssize_t length = readlink(link, path, sizeof path - 1);
  errno = before;
  if (length <= 0) return 0;
  path[length] = 0;
  return must_fail(call, path);
}

#define REAL(name)                                             \
  static __typeof__(&name) real;                               \
  if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, #name);

#define WRAP_FD(type, name, call, params, args) \
  type name params {                            \
    REAL(name)                                  \
    return fd_must_fail(call, fd) ? -1 : real args; \
  }

#define WRAP_PATH(name, call, params, args) \
  int name params {                         \
    REAL(name)                              \
    return must_fail(call, path) ? -1 : real args; \
  }

WRAP_FD(ssize_t, read, "read", (int fd, void *b, size_t n), (fd, b, n))
WRAP_FD(ssize_t, pread, "read", (int fd, void *b, size_t n, off_t o), (fd, b, n, o))
WRAP_FD(ssize_t, pread64, "read", (int fd, void *b, size_t n, off64_t o), (fd, b, n, o))
WRAP_FD(ssize_t, readv, "read", (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP_FD(ssize_t, preadv, "read", (int fd, const struct iovec *v, int n, off_t o), (fd, v, n, o))
WRAP_FD(ssize_t, preadv64, "read", (int fd, const struct iovec *v, int n, off64_t o), (fd, v, n, o))
WRAP_FD(ssize_t, write, "write", (int fd, const void *b, size_t n), (fd, b, n))
WRAP_FD(ssize_t, pwrite, "write", (int fd, const void *b, size_t n, off_t o), (fd, b, n, o))
WRAP_FD(ssize_t, pwrite64, "write", (int fd, const void *b, size_t n, off64_t o), (fd, b, n, o))
WRAP_FD(ssize_t, writev, "write", (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP_FD(ssize_t, pwritev, "write", (int fd, const struct iovec *v, int n, off_t o), (fd, v, n, o))
WRAP_FD(ssize_t, pwritev64, "write", (int fd, const struct iovec *v, int n, off64_t o), (fd, v, n, o))
WRAP_FD(int, ftruncate, "write", (int fd, off_t n), (fd, n))
WRAP_FD(int, ftruncate64, "write", (int fd, off64_t n), (fd, n))
WRAP_FD(int, fsync, "sync", (int fd), (fd))
WRAP_FD(int, fdatasync, "sync", (int fd), (fd))
WRAP_PATH(mkdir, "mkdir", (const char *path, mode_t m), (path, m))
WRAP_PATH(rmdir, "unlink", (const char *path), (path))
WRAP_PATH(unlink, "unlink", (const char *path), (path))

int rename(const char *from, const char *to) {
  REAL(rename)
  return must_fail("rename", to) ? -1 : real(from, to);
}

// open is variadic: the mode is there only when a file may be made.
#define WRAP_OPEN(name)                                        \
  int name(const char *path, int flags, ...) {                 \
    REAL(name)                                                 \
    va_list rest;                                              \
    va_start(rest, flags);                                     \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                              \
    return must_fail("open", path) ? -1 : real(path, flags, mode); \
  }

WRAP_OPEN(open)
WRAP_OPEN(open64)
