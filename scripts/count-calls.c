// Counts what a process asks of the allocator and of the kernel, for scripts/budgets.py: loaded before the C library
// (LD_PRELOAD), it writes the sums to the file $APUS_COUNTS at the end. glibc's own allocator does the work, by the
// names that it keeps for this.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long mallocs, calls, syncs;

static void count(atomic_long *sum) { atomic_fetch_add_explicit(sum, 1, memory_order_relaxed); }

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) {
    count(&mallocs);
    return __libc_malloc(size);
}

void *calloc(size_t many, size_t size) {
    count(&mallocs);
    return __libc_calloc(many, size);
}

void *realloc(void *old, size_t size) {
    count(&mallocs);
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count(&mallocs);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    count(&mallocs);
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

// The system calls on a message's way. Not the locks' (futex): how often two threads meet is the machine's affair.
#define COUNTED(sum, type, name, parameters, arguments)                                                                \
    type name parameters {                                                                                             \
        static type(*next) parameters;                                                                                 \
        if (!next) next = (type(*) parameters)dlsym(RTLD_NEXT, #name);                                                 \
        count(&sum);                                                                                                   \
        return next arguments;                                                                                         \
    }

COUNTED(calls, ssize_t, read, (int file, void *bytes, size_t size), (file, bytes, size))
COUNTED(calls, ssize_t, write, (int file, const void *bytes, size_t size), (file, bytes, size))
COUNTED(calls, ssize_t, writev, (int file, const struct iovec *parts, int many), (file, parts, many))
COUNTED(calls, ssize_t, recvmsg, (int file, struct msghdr *message, int flags), (file, message, flags))
COUNTED(calls, ssize_t, sendmsg, (int file, const struct msghdr *message, int flags), (file, message, flags))
COUNTED(calls, ssize_t, pread64, (int file, void *bytes, size_t size, off64_t at), (file, bytes, size, at))
COUNTED(calls, ssize_t, pwrite64, (int file, const void *bytes, size_t size, off64_t at), (file, bytes, size, at))
COUNTED(calls, int, epoll_wait, (int file, struct epoll_event *events, int many, int time), (file, events, many, time))
COUNTED(calls, int, epoll_ctl, (int file, int what, int other, struct epoll_event *event), (file, what, other, event))
COUNTED(calls, int, eventfd_read, (int file, eventfd_t *value), (file, value))
COUNTED(calls, int, eventfd_write, (int file, eventfd_t value), (file, value))
COUNTED(calls, int, stat, (const char *path, struct stat *status), (path, status))
COUNTED(calls, int, stat64, (const char *path, struct stat64 *status), (path, status))
COUNTED(calls, int, lstat, (const char *path, struct stat *status), (path, status))
COUNTED(calls, int, fstat, (int file, struct stat *status), (file, status))
COUNTED(calls, int, fstat64, (int file, struct stat64 *status), (file, status))

// SQLite's locks on the file.
int fcntl64(int file, int what, ...) {
    static int (*next)(int, int, ...);
    va_list rest;
    va_start(rest, what);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (!next) next = (int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl64");
    count(&calls);
    return next(file, what, argument);
}

COUNTED(syncs, int, fsync, (int file), (file))
COUNTED(syncs, int, fdatasync, (int file), (file))

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("APUS_COUNTS");
    FILE *out = path ? fopen(path, "w") : NULL;
    if (!out) return;
    fprintf(out, "%ld %ld %ld\n", atomic_load(&mallocs), atomic_load(&calls), atomic_load(&syncs));
    fclose(out);
}
