/* SPDX-License-Identifier: Apache-2.0 */
#include "io/guard.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/status.h"
#include "base/thread.h"

#define MOST_MAPPINGS 4096
#define MOST_NOTES 16
#define SHOWN 320

struct frame {
    sigjmp_buf at;
    const void *address;
    sigset_t mask; /* before the signal: the jump leaves the handler's */
};

/* The handler reads it: in the static block, since a first access of dynamic TLS allocates. */
static _Thread_local struct frame *volatile innermost __attribute__((tls_model("initial-exec")));
/* A signal that the thread has blocked would end the process. */
static _Thread_local int is_unblocked __attribute__((tls_model("initial-exec")));

/* What the handler has to know of a mapping. `start` is stored last (release) and read first
 * (acquire): 0 is a free slot. `fault` is the first one's offset, or -1. */
static struct watched {
    _Atomic uintptr_t start;
    _Atomic size_t size;
    _Atomic int fd, is_writable;
    _Atomic int64_t fault;
    int is_told;
    const char *path;
} watched[MOST_MAPPINGS];
static _Atomic int n_watched; /* slots that were ever used */

static _Atomic(void (*)(void *)) notify_fn;
static _Atomic(void *) notify_opaque;

/* Guards slots that are taken or given back, is_told and notes; never taken in the handler. A child
 * of fork() may find it taken by a thread that it does not have, so it is made anew there. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Faults of mappings that are gone. */
static struct note {
    char path[SHOWN];
    int64_t offset;
} notes[MOST_NOTES];
static int n_notes;

static struct sigaction former;

/* --- the handler
 * -------------------------------------------------------------------------------------- */

static struct watched *find(uintptr_t address)
{
    int n = atomic_load_explicit(&n_watched, memory_order_acquire);
    for (int i = 0; i < n; i++) {
        uintptr_t start = atomic_load_explicit(&watched[i].start, memory_order_acquire);
        if (start && address >= start &&
            address - start < atomic_load_explicit(&watched[i].size, memory_order_relaxed))
            return &watched[i];
    }
    return NULL;
}

/* Zeros in the place of the page. Of a file that was cut, all that is behind its end at once: a
 * page each would be a mapping each, of which a process has some ten thousand. */
static int fill_in(struct watched *mapping, uintptr_t address)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = address / page * page, to = from + page;
    uintptr_t start = atomic_load_explicit(&mapping->start, memory_order_relaxed);
    uintptr_t end = start + atomic_load_explicit(&mapping->size, memory_order_relaxed);
    struct stat st;
    if (fstat(atomic_load_explicit(&mapping->fd, memory_order_relaxed), &st) == 0) {
        uintptr_t has = start + ((uintptr_t)st.st_size + page - 1) / page * page;
        if (has <= from) {
            from = has;
            to = end;
        }
    }
    int is_writable = atomic_load_explicit(&mapping->is_writable, memory_order_relaxed);
    if (mmap((void *)from, to - from, PROT_READ | (is_writable ? PROT_WRITE : 0),
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
        return 0;
    int64_t none = -1;
    atomic_compare_exchange_strong(&mapping->fault, &none, (int64_t)(address - start));
    return 1;
}

static void pass_on(int number, siginfo_t *info, void *context)
{
    if (former.sa_flags & SA_SIGINFO) {
        former.sa_sigaction(number, info, context);
    } else if (former.sa_handler == SIG_IGN && info->si_code <= 0) {
        return; /* it was sent, not met */
    } else if (former.sa_handler == SIG_DFL || former.sa_handler == SIG_IGN) {
        /* What is met again, or sent again, ends the process as if we were not there. */
        struct sigaction plain = {.sa_handler = SIG_DFL};
        sigaction(SIGBUS, &plain, NULL);
        if (info->si_code <= 0)
            raise(SIGBUS);
    } else {
        former.sa_handler(number);
    }
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    struct frame *frame = innermost;
    /* SI_TKILL: another handler above ours (Python's faulthandler) raises what it was given, and
     * the address is lost. */
    if (frame && (info->si_code > 0 || info->si_code == SI_TKILL)) {
        frame->address = info->si_code > 0 ? info->si_addr : NULL;
        /* The kernel has 8 bytes of signals, the C library room for more. */
        sigemptyset(&frame->mask);
        memcpy(&frame->mask, &((const ucontext_t *)context)->uc_sigmask, 8);
        siglongjmp(frame->at, 1);
    }
    struct watched *mapping = info->si_code > 0 ? find((uintptr_t)info->si_addr) : NULL;
    if (!mapping || !fill_in(mapping, (uintptr_t)info->si_addr)) {
        pass_on(number, info, context);
        errno = saved;
        return;
    }
    void (*fn)(void *) = atomic_load(&notify_fn);
    if (fn)
        fn(atomic_load(&notify_opaque));
    errno = saved;
}

/* --- setting up
 * --------------------------------------------------------------------------------------- */

static int install_errno;

static void lock_anew(void)
{
    pthread_mutex_init(&lock, NULL);
}

static void install(void)
{
    /* SA_NODEFER: the handler is left by a jump, which does not unblock the signal. */
    struct sigaction action = {.sa_sigaction = on_sigbus,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, &action, &former) < 0)
        install_errno = errno;
    pthread_atfork(NULL, NULL, lock_anew);
}

int pst__guard_prepare(struct pst_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    if (install_errno)
        return pst__fail_os(err, install_errno, "cannot handle faults of mapped files");
    return PST_OK;
}

int pst__guarded(void (*fn)(void *arg), void *arg, const void **address)
{
    struct frame frame, *outer = innermost;
    frame.address = NULL;
    if (!is_unblocked) {
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGBUS);
        pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
        is_unblocked = 1;
    }
    if (sigsetjmp(frame.at, 0)) {
        innermost = outer;
        *address = frame.address;
        pthread_sigmask(SIG_SETMASK, &frame.mask, NULL);
        return PST_EIO;
    }
    innermost = &frame;
    fn(arg);
    innermost = outer;
    return PST_OK;
}

/* --- mappings
 * ----------------------------------------------------------------------------------------- */

int pst__guard_watch(int *slot, const void *start, size_t size, int fd, int is_writable,
                     const char *path, struct pst_error *err)
{
    int rc = pst__guard_prepare(err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&lock);
    int i = 0, n = atomic_load(&n_watched);
    while (i < n && atomic_load(&watched[i].start) != 0)
        i++;
    if (i < MOST_MAPPINGS) {
        struct watched *mapping = &watched[i];
        atomic_store(&mapping->size, size);
        atomic_store(&mapping->fd, fd);
        atomic_store(&mapping->is_writable, is_writable);
        atomic_store(&mapping->fault, -1);
        mapping->path = path;
        mapping->is_told = 0;
        atomic_store_explicit(&mapping->start, (uintptr_t)start, memory_order_release);
        if (i == n)
            atomic_store_explicit(&n_watched, n + 1, memory_order_release);
    }
    pthread_mutex_unlock(&lock);
    if (i == MOST_MAPPINGS)
        return pst__fail(err, PST_ELIMIT, "%d files are mapped already", MOST_MAPPINGS);
    *slot = i;
    return PST_OK;
}

void pst__guard_unwatch(int slot)
{
    struct watched *mapping = &watched[slot];
    pthread_mutex_lock(&lock);
    int64_t fault = atomic_load(&mapping->fault);
    if (fault >= 0 && !mapping->is_told && n_notes < MOST_NOTES) {
        struct note *note = &notes[n_notes++];
        pst__printable(note->path, sizeof note->path, mapping->path);
        note->offset = fault;
    }
    atomic_store_explicit(&mapping->start, 0, memory_order_release);
    pthread_mutex_unlock(&lock);
}

int64_t pst__guard_fault(int slot)
{
    return atomic_load(&watched[slot].fault);
}

static int tell(struct pst_error *err, const char *shown, int64_t offset)
{
    pst__fail_at(err, PST_EIO, offset,
                 "'%s' could not be read at byte %lld while it was mapped: it was cut, or the disk "
                 "failed; what was read there is zeros",
                 shown, (long long)offset);
    if (err && err->status == PST_EIO && err->os_errno == 0)
        err->os_errno = EIO;
    return PST_EIO;
}

int pst__guard_check(const void *start, size_t size, struct pst_error *err)
{
    int rc = PST_OK;
    uintptr_t from = (uintptr_t)start;
    pthread_mutex_lock(&lock);
    int n = atomic_load(&n_watched);
    for (int i = 0; i < n && rc == PST_OK; i++) {
        struct watched *mapping = &watched[i];
        uintptr_t at = atomic_load(&mapping->start);
        int64_t fault = atomic_load(&mapping->fault);
        char shown[SHOWN];
        if (at == 0 || fault < 0 || from + size <= at || from >= at + atomic_load(&mapping->size))
            continue;
        pst__printable(shown, sizeof shown, mapping->path);
        rc = tell(err, shown, fault);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

int pst__guard_next(struct pst_error *err)
{
    struct note note;
    int is_found = 0;
    pthread_mutex_lock(&lock);
    if (n_notes > 0) {
        note = notes[0];
        memmove(notes, notes + 1, (size_t)--n_notes * sizeof *notes);
        is_found = 1;
    }
    int n = atomic_load(&n_watched);
    for (int i = 0; i < n && !is_found; i++) {
        struct watched *mapping = &watched[i];
        int64_t fault = atomic_load(&mapping->fault);
        if (atomic_load(&mapping->start) == 0 || fault < 0 || mapping->is_told)
            continue;
        mapping->is_told = 1;
        pst__printable(note.path, sizeof note.path, mapping->path);
        note.offset = fault;
        is_found = 1;
    }
    pthread_mutex_unlock(&lock);
    return is_found ? tell(err, note.path, note.offset) : PST_END;
}

void pst__guard_notify(void (*fn)(void *opaque), void *opaque)
{
    atomic_store(&notify_fn, NULL);
    atomic_store(&notify_opaque, opaque);
    atomic_store(&notify_fn, fn);
}
