/* SPDX-License-Identifier: Apache-2.0 */
#include "fault/fault.h"

#ifdef PST_CHECKS

#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "buffer/buffer.h"

/* The table itself: which call fails, how often, and with what. */

static void the_nth_call_fails(void)
{
    pst__fault_arm(1u << PST_SYS_ALLOC, 3, 0, ENOMEM);
    for (int i = 1; i <= 5; i++) {
        void *block = pst__alloc(1, PST_MEM_HEAP);
        CHECK((i == 3) == !block);
        pst__free(block);
    }
    CHECK_INT(pst__fault_calls(), 5);
    CHECK_INT(pst__fault_fired(), 1);
    pst__fault_arm(1u << PST_SYS_ALLOC | 1u << PST_SYS_MAP, 2, 1, ENOMEM);
    void *block = pst__alloc(1, PST_MEM_HEAP);
    CHECK(block && !pst__map(4096) && !pst__alloc(1, PST_MEM_HEAP) && !pst__map(4096));
    CHECK(errno == ENOMEM);
    CHECK_INT(pst__fault_fired(), 3);
    pst__fault_disarm();
    pst__free(block);
    CHECK(pst__sys_open("/") >= 0);
    CHECK_INT(pst__fault_calls(), 4);
}

static void each_kind_fails(void)
{
    struct stat st;
    char byte;
    pthread_t thread;
    uint32_t all = (1u << PST_SYS_N_CALLS) - 1;
    int fd = open("/proc/self/exe", O_RDONLY);
    DIR *dir = opendir("/");
    CHECK(fd >= 0 && dir);
    pst__fault_arm(all & ~(1u << PST_SYS_CLOCK), 1, 1, EMFILE);
    CHECK(pst__sys_open("/") == -1 && errno == EMFILE);
    CHECK(pst__sys_stat("/", &st) == -1 && errno == EMFILE);
    CHECK(pst__sys_fstat(fd, &st) == -1 && errno == EMFILE);
    CHECK(pst__sys_pread(fd, &byte, 1, 0) == -1 && errno == EMFILE);
    CHECK(!pst__sys_opendir("/") && errno == EMFILE);
    CHECK(!pst__sys_readdir(dir) && errno == EMFILE);
    CHECK(!pst__sys_malloc(8) && errno == EMFILE);
    CHECK(!pst__sys_malloc_pages(8) && errno == EMFILE);
    CHECK(!pst__sys_mmap(8) && errno == EMFILE);
    CHECK(pst__sys_random(&byte, 1) == -1 && errno == EMFILE);
    CHECK_INT(pst__sys_thread_create(&thread, NULL, NULL), EMFILE);
    CHECK_INT(pst__fault_fired(), 11);
    pst__fault_disarm();
    closedir(dir);
    close(fd);
}

static void reads_become_short(void)
{
    char bytes[8];
    int fd = open("/proc/self/exe", O_RDONLY);
    pst__fault_arm(1u << PST_SYS_READ, 2, 0, 0);
    CHECK_INT(pst__sys_pread(fd, bytes, 8, 0), 8);
    CHECK_INT(pst__sys_pread(fd, bytes, 8, 0), 1);
    CHECK_INT(pst__sys_pread(fd, bytes, 8, 0), 8);
    pst__fault_disarm();
    close(fd);
}

/* The clock jumps and stays there; waits with a deadline of it still end. */
static void the_clock_jumps(void)
{
    const int64_t hour = 3600000000000ll;
    int64_t before = pst__now_ns(), skew = pst__fault_clock_skew();
    pst__fault_arm(1u << PST_SYS_CLOCK, 1, 0, 0);
    CHECK(pst__now_ns() >= before + hour);
    pst__fault_disarm();
    CHECK_INT(pst__fault_clock_skew(), skew + hour);
    CHECK(pst__now_ns() >= before + hour);
    struct pst__mutex lock;
    struct pst__cond cond;
    CHECK_INT(pst__mutex_init(&lock), 0);
    CHECK_INT(pst__cond_init(&cond), 0);
    pst__lock(&lock);
    int64_t deadline = pst__now_ns() + 1000000;
    while (!pst__cond_wait(&cond, &lock, deadline))
        ;
    CHECK(pst__now_ns() >= deadline);
    pst__unlock(&lock);
    pst__cond_reset(&cond);
    pst__mutex_reset(&lock);
}

static void *nothing(void *arg)
{
    return arg;
}

static int start_a_thread(void *opaque)
{
    pthread_t thread;
    int rc = pst__thread_start(&thread, "fault", 0, nothing, NULL, opaque);
    if (rc == PST_OK)
        pst__thread_join(thread);
    return rc;
}

static void threads_do_not_start(void)
{
    static const int allowed[] = {PST_ENOMEM, PST_ETHREAD, 0};
    struct fault_spec spec = {1u << PST_SYS_ALLOC | 1u << PST_SYS_THREAD, EAGAIN, allowed, 10};
    struct pst_error err = {0};
    int64_t n_failed;
    CHECK_INT(fault_loop(&spec, start_a_thread, NULL, &n_failed), 4);
    CHECK_INT(n_failed, 4);
    pst__fault_arm(1u << PST_SYS_THREAD, 1, 0, EAGAIN);
    CHECK_INT(start_a_thread(&err), PST_ETHREAD);
    CHECK_HAS(err.message, "cannot start thread 'fault'");
    pst__fault_disarm();
}

/* Blocks stay whole when there is no memory for larger ones. */
static int grow_blocks(void *opaque)
{
    (void)opaque;
    int rc = PST_ENOMEM;
    char *grown, *block = pst__calloc(3, 2, PST_MEM_HEAP);
    struct pst__scratch scratch = {0};
    struct pst_buffer *buffer = NULL, *wrapped = NULL;
    if (!block)
        return rc;
    strcpy(block, "block");
    grown = pst__realloc(block, 100, PST_MEM_HEAP);
    CHECK_STR(grown ? grown : block, "block");
    if (grown)
        block = grown;
    if (pst__scratch_reserve(&scratch, 10) && pst__scratch_reserve(&scratch, 12) &&
        pst__buffer_new(&buffer, 10, NULL) == PST_OK &&
        pst_buffer_wrap(&wrapped, block, 1, NULL, NULL, NULL) == PST_OK && grown)
        rc = PST_OK;
    pst_buffer_unref(wrapped);
    pst_buffer_unref(buffer);
    pst__scratch_reset(&scratch);
    pst__free(block);
    return rc;
}

static void no_memory(void)
{
    static const int allowed[] = {PST_ENOMEM, 0};
    struct fault_spec spec = {1u << PST_SYS_ALLOC, ENOMEM, allowed, 20};
    int64_t n_failed;
    CHECK(fault_loop(&spec, grow_blocks, NULL, &n_failed) >= 12);
    CHECK(n_failed >= 10);
}

CHECK_MAIN(CASE(the_nth_call_fails), CASE(each_kind_fails), CASE(reads_become_short),
           FAULT("R33", the_clock_jumps), FAULT("R34", threads_do_not_start),
           FAULT("R17", no_memory))
#else
int main(void)
{
    return 77;
}
#endif
