/* Lets the n-th write below a folder fail, whoever writes, Python or GDAL: loaded before libc (LD_PRELOAD). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long failing, seen;
static int reason, lasting;

/* From now on writes below `where` are counted, and the `which`-th fails (0: none); with `on`, all behind it, too. */
void fail_write(const char *where, long which, int error, int on)
{
    snprintf(folder, sizeof folder, "%s", where);
    failing = which, seen = 0, reason = error, lasting = on;
}

/* Ends that; returns how many there were. */
long writes(void)
{
    folder[0] = 0;
    return seen;
}

static int fails(int descriptor)
{
    char link[64], path[PATH_MAX];
    int before = errno;
    if (!folder[0])
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0)
        return 0;
    path[length] = 0;
    if (strncmp(path, folder, strlen(folder)))
        return 0;
    long number = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
    if (!failing || number < failing || (number > failing && !lasting))
        return 0;
    errno = reason;
    return 1;
}

ssize_t write(int descriptor, const void *bytes, size_t count)
{
    return fails(descriptor) ? -1 : syscall(SYS_write, descriptor, bytes, count);
}

int fsync(int descriptor)
{
    return fails(descriptor) ? -1 : syscall(SYS_fsync, descriptor);
}

size_t fwrite(const void *bytes, size_t size, size_t count, FILE *file)
{
    static size_t (*next)(const void *, size_t, size_t, FILE *);
    if (!next)
        next = (size_t (*)(const void *, size_t, size_t, FILE *))dlsym(RTLD_NEXT, "fwrite");
    return fails(fileno(file)) ? 0 : next(bytes, size, count, file);
}
