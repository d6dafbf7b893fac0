/* SPDX-License-Identifier: Apache-2.0 */
#include "io/direct.h"

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "base/thread.h"

/* The memory is given out in units, one bit of a word each. */
#define N_UNITS 64
#define UNIT ((size_t)PST__DIRECT_BYTES / N_UNITS)
#define MOST_UNITS 8 /* of a read */
#define MOST_INTERRUPTED 100
#define DEADLINE_NS 120000000000ll

_Static_assert(UNIT *MOST_UNITS >= PST__DIRECT_BLOCK, "a block fits a read");

/* A read of blocks, and the spans that have a part in it. */
struct request {
    int fd;
    uint64_t begin;
    uint32_t n, needed; /* the last block may reach behind the file's end */
    size_t first, last; /* spans, without the last */
};

struct reader {
    uint8_t *memory;
    uint64_t free; /* units */
    uint32_t generation;
    int ring_errno; /* 0: there is a ring */
    struct io_uring ring;
    struct request requests[N_UNITS]; /* by their first unit */
};

static _Thread_local struct reader *own;
static pthread_key_t at_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int has_key;
static _Atomic int64_t n_open;

/* --- the thread's own
 * --------------------------------------------------------------------------------- */

/* What a parent left is not this process': neither its memory nor its ring came along. */
static void reader_free(struct reader *reader)
{
    if (!reader)
        return;
    if (reader->generation == pst__fork_generation()) {
        if (reader->ring_errno == 0)
            pst__sys_ring_reset(&reader->ring);
        pst__unmap(reader->memory, PST__DIRECT_BYTES);
    }
    pst__free(reader);
}

static void end_thread(void *reader)
{
    own = NULL;
    reader_free(reader);
}

static void make_key(void)
{
    has_key = pthread_key_create(&at_end, end_thread) == 0;
}

static void set_own(struct reader *reader)
{
    if (pthread_setspecific(at_end, reader) != 0) {
        reader_free(reader); /* nobody would at the thread's end */
        reader = NULL;
    }
    own = reader;
}

/* NULL: there is no memory for it. */
static struct reader *reader_new(void)
{
    struct reader *reader = pst__calloc(1, sizeof *reader, PST_MEM_HEAP);
    if (!reader)
        return NULL;
    reader->generation = pst__fork_generation();
    reader->memory = pst__map(PST__DIRECT_BYTES);
    if (!reader->memory) {
        pst__free(reader);
        return NULL;
    }
    /* The disk writes to it: a child must not come to have the page. */
    (void)madvise(reader->memory, PST__DIRECT_BYTES, MADV_DONTFORK);
    reader->free = UINT64_MAX;
    reader->ring_errno = pst__sys_ring_init(&reader->ring, N_UNITS);
    return reader;
}

static struct reader *reader_of_thread(void)
{
    pthread_once(&once, make_key);
    if (!has_key)
        return NULL;
    if (own && own->generation != pst__fork_generation()) {
        reader_free(own);
        set_own(NULL);
    }
    if (!own)
        set_own(reader_new());
    return own;
}

void pst__direct_open(void)
{
    atomic_fetch_add_explicit(&n_open, 1, memory_order_relaxed);
}

void pst__direct_close(void)
{
    if (atomic_fetch_sub_explicit(&n_open, 1, memory_order_relaxed) == 1 && own) {
        reader_free(own);
        set_own(NULL);
    }
}

int pst__direct_ring(void)
{
    pst__direct_open(); /* where no file is open nothing of it is kept */
    const struct reader *reader = reader_of_thread();
    int ring_errno = reader ? reader->ring_errno : ENOMEM;
    pst__direct_close();
    return ring_errno;
}

/* --- reads
 * -------------------------------------------------------------------------------------------- */

struct run {
    const struct pst__span *spans;
    size_t n;
    struct reader *reader;
    size_t i;             /* the span that comes next */
    uint64_t at;          /* where in the file, within it */
    struct request next;  /* n is 0: not made yet */
    int n_flying, status; /* status: of the failure that comes first in the spans' order */
    size_t failed;
    struct pst_error failure;
};

static uint64_t end_of(const struct pst__span *span)
{
    return span->offset + span->n;
}

static void begin_span(struct run *run, size_t i)
{
    while (i < run->n && run->spans[i].n == 0)
        i++;
    run->i = i;
    if (i < run->n)
        run->at = run->spans[i].offset;
}

/* The blocks of the spans that follow, as far as one read goes. 0: there are none. */
static int plan(struct run *run)
{
    if (run->next.n > 0 || run->i == run->n)
        return run->next.n > 0;
    struct request *next = &run->next;
    const struct pst__source *source = run->spans[run->i].source;
    const struct pst__direct_file *file = pst__source_direct(source);
    uint64_t mask = file->block - 1;
    uint64_t begin = run->at & ~mask, most = begin + UNIT * MOST_UNITS, end = begin;
    *next = (struct request){.fd = file->fd, .begin = begin, .first = run->i};
    while (run->i < run->n && run->spans[run->i].source == source && run->at >= begin &&
           (run->at & ~mask) <= end && run->at < most) {
        uint64_t behind = end_of(&run->spans[run->i]);
        next->last = run->i + 1;
        if (behind > most) {
            end = run->at = most;
            break;
        }
        behind = (behind + mask) & ~mask;
        end = behind > end ? behind : end;
        begin_span(run, run->i + 1);
    }
    next->n = (uint32_t)(end - begin);
    next->needed = (uint32_t)((end < file->size ? end : file->size) - begin);
    return 1;
}

/* The first of as many free units as the size takes, or -1. */
static int take_units(struct reader *reader, uint32_t size)
{
    uint64_t run = reader->free;
    unsigned n = (unsigned)((size + UNIT - 1) / UNIT);
    for (unsigned i = 1; i < n; i++)
        run &= reader->free >> i;
    if (run == 0)
        return -1;
    int first = __builtin_ctzll(run);
    reader->free &= ~(((UINT64_C(1) << n) - 1) << first);
    return first;
}

static void give_units(struct reader *reader, int first)
{
    unsigned n = (unsigned)((reader->requests[first].n + UNIT - 1) / UNIT);
    reader->free |= ((UINT64_C(1) << n) - 1) << first;
}

static void note_failure(struct run *run, size_t span, int rc, const struct pst_error *err)
{
    if (run->status < 0 && run->failed <= span)
        return;
    run->status = rc;
    run->failed = span;
    run->failure = *err;
}

/* What a request has of each of its spans from `got` bytes on is read by another way. */
static void read_rest(struct run *run, const struct request *request, uint32_t got, int os_errno)
{
    uint64_t from = request->begin + got, to = request->begin + request->needed;
    for (size_t i = request->first; i < request->last; i++) {
        const struct pst__span *span = &run->spans[i];
        uint64_t low = span->offset > from ? span->offset : from;
        uint64_t high = end_of(span) < to ? end_of(span) : to;
        if (low >= high)
            continue;
        struct pst__span part = {span->source, low, (size_t)(high - low),
                                 span->to + (low - span->offset), span->index};
        struct pst_error err;
        pst_error_init(&err);
        int rc = pst__source_read_otherwise(&part, os_errno, &err);
        if (rc < 0) {
            note_failure(run, i, rc, &err);
            return;
        }
    }
}

static void copy_out(const struct run *run, const struct request *request, const uint8_t *from,
                     uint32_t got)
{
    uint64_t begin = request->begin, end = begin + got;
    for (size_t i = request->first; i < request->last; i++) {
        const struct pst__span *span = &run->spans[i];
        uint64_t low = span->offset > begin ? span->offset : begin;
        uint64_t high = end_of(span) < end ? end_of(span) : end;
        if (low < high)
            memcpy(span->to + (low - span->offset), from + (low - begin), (size_t)(high - low));
    }
}

/* These say nothing of the disk. */
static int is_passing(int os_errno)
{
    return os_errno == EINTR || os_errno == EAGAIN || os_errno == ECANCELED || os_errno == EINVAL ||
           os_errno == EOPNOTSUPP;
}

/* result: bytes, or the negative of an errno. */
static void finish(struct run *run, int unit, int64_t result)
{
    struct reader *reader = run->reader;
    const struct request *request = &reader->requests[unit];
    uint32_t got = result > 0 ? (uint32_t)result : 0;
    if (got > request->needed)
        got = request->needed;
    copy_out(run, request, reader->memory + (size_t)unit * UNIT, got);
    if (got < request->needed)
        read_rest(run, request, got, result < 0 && !is_passing((int)-result) ? (int)-result : 0);
    give_units(reader, unit);
}

/* --- one after the other
 * ------------------------------------------------------------------------------ */

static void read_each(struct run *run)
{
    struct reader *reader = run->reader;
    while (run->status == PST_OK && plan(run)) {
        int unit = take_units(reader, run->next.n);
        struct request *request = &reader->requests[unit];
        *request = run->next;
        run->next.n = 0;
        int64_t got = pst__sys_pread(request->fd, reader->memory + (size_t)unit * UNIT, request->n,
                                     (off_t)request->begin);
        finish(run, unit, got < 0 ? -errno : got);
    }
}

/* --- by the ring
 * -------------------------------------------------------------------------------------- */

/* What follows the spans' order and finds room. */
static void prepare(struct run *run)
{
    struct reader *reader = run->reader;
    while (run->status == PST_OK && plan(run)) {
        int unit = take_units(reader, run->next.n);
        if (unit < 0)
            return;
        struct io_uring_sqe *sqe = io_uring_get_sqe(&reader->ring);
        reader->requests[unit] = run->next;
        io_uring_prep_read(sqe, run->next.fd, reader->memory + (size_t)unit * UNIT, run->next.n,
                           run->next.begin);
        io_uring_sqe_set_data(sqe, &reader->requests[unit]);
        run->next.n = 0;
        run->n_flying++;
    }
}

static void take_answers(struct run *run)
{
    struct io_uring *ring = &run->reader->ring;
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(ring, &cqe) == 0) {
        const struct request *request = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(ring, cqe);
        run->n_flying--;
        finish(run, (int)(request - run->reader->requests), pst__sys_ring_result(result));
    }
}

/* The answers to what the ring has taken. */
static void drain(struct run *run)
{
    struct io_uring *ring = &run->reader->ring;
    while (run->n_flying > (int)io_uring_sq_ready(ring) &&
           pst__sys_ring_drain(ring, DEADLINE_NS) == 0)
        take_answers(run);
}

/* The ring takes nothing more, or does not answer. The disk may still write to the memory of what
 * is in flight, so that stays where it is, for ever: only the thread forgets it. */
static void abandon(struct run *run, int os_errno)
{
    struct reader *reader = run->reader;
    if (os_errno != ETIME)
        drain(run);
    int is_flying = run->n_flying > (int)io_uring_sq_ready(&reader->ring);
    for (int unit = 0; unit < N_UNITS; unit++) {
        const struct request *request = &reader->requests[unit];
        if (reader->free >> unit & 1)
            continue;
        read_rest(run, request, 0, os_errno == ETIME ? ETIMEDOUT : 0);
        unit += (int)((request->n + UNIT - 1) / UNIT) - 1;
    }
    pst__sys_ring_reset(&reader->ring);
    if (!is_flying)
        pst__unmap(reader->memory, PST__DIRECT_BYTES);
    set_own(NULL);
    pst__free(reader);
}

/* 0, or the errno for which the reader was abandoned. */
static int read_many(struct run *run)
{
    int tries = 0;
    for (;;) {
        prepare(run);
        if (run->n_flying == 0)
            return 0;
        int os_errno =
            pst__sys_ring_wait(&run->reader->ring, (unsigned)(run->n_flying + 3) / 4, DEADLINE_NS);
        if (os_errno == 0) {
            tries = 0;
        } else if (os_errno == ETIME || ++tries == MOST_INTERRUPTED) {
            abandon(run, os_errno);
            return os_errno;
        }
        take_answers(run);
    }
}

/* Without memory, or behind an abandoned ring: all that was not begun. */
static void read_otherwise(struct run *run)
{
    while (run->status == PST_OK && plan(run)) {
        struct request rest = run->next;
        run->next.n = 0;
        read_rest(run, &rest, 0, 0);
    }
}

int pst__direct_read(const struct pst__span *spans, size_t n, struct pst_error *err)
{
    struct run run = {.spans = spans, .n = n, .reader = reader_of_thread()};
    begin_span(&run, 0);
    if (!run.reader)
        read_otherwise(&run);
    else if (run.reader->ring_errno != 0)
        read_each(&run);
    else if (read_many(&run) != 0)
        read_otherwise(&run);
    if (run.status == PST_OK)
        return PST_OK;
    if (err && err->status >= 0)
        *err = run.failure;
    return run.status;
}
