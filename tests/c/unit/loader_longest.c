/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/rng.h"
#include "base/status.h"
#include "unit/longest_rows.h"

#define BATCH 30
#define BATCHES 8

static struct tree tree;
static char path[TREE_PATH];

static void begin(void)
{
    rows_tree_open(&tree);
    tree_path(&tree, path, "rows.pst");
    rows_write_parts(path, LONGEST_ROWS);
}

static struct pst_dataset *opened(int access, int64_t most)
{
    struct pst_dataset *dataset;
    CHECK_INT(longest_open(&dataset, path, access, most, NULL), PST_OK);
    return dataset;
}

static struct pst_loader *loader_over(struct pst_dataset *dataset, int threads, size_t budget)
{
    struct pst_loader_config config;
    struct pst_loader *loader;
    pst_loader_config_init(&config);
    config.dataset = dataset;
    config.threads = threads;
    config.batch_size = BATCH;
    config.ahead = 3;
    config.memory_budget = budget;
    CHECK_INT(pst_loader_open(&loader, &config, NULL), PST_OK);
    pst_dataset_unref(dataset);
    return loader;
}

static void gathered(void)
{
    static uint8_t text[BATCH * 48];
    int64_t lengths[BATCH], labels[BATCH], indices[BATCH], longest[3];
    void *dst[] = {text, lengths, labels};
    struct pst_field fields[3];
    begin();
    for (int access = PST_ARRAY_MAP; access <= PST_ARRAY_READ; access++)
        for (int64_t most = 0; most < 20; most += 9) {
            struct pst_dataset *dataset = opened(access, most);
            CHECK_INT(pst_dataset_fields(dataset, fields, 3), 3);
            CHECK(fields[0].ndim == 1 && fields[0].shape[0] == -1 && fields[1].ndim == 0);
            for (size_t i = 0; i < BATCH; i++)
                indices[i] = (int64_t)(pst__mix64(i) % LONGEST_ROWS);
            CHECK_INT(pst_gather(dataset, indices, BATCH, dst, NULL), PST_EINVAL);
            CHECK_INT(pst_dataset_lengths(dataset, indices, BATCH, longest, NULL), PST_OK);
            CHECK_INT(longest[0], longest_of(indices, BATCH, most));
            CHECK(longest[1] == 0 && longest[2] == 0);
            for (int64_t width = 0; width <= longest[0] + 3; width++) {
                CHECK_INT(pst_gather_padded(dataset, indices, BATCH, &width, dst, NULL), PST_OK);
                longest_check(text, lengths, indices, BATCH, width, most);
            }
            CHECK_INT(pst_dataset_lengths(dataset, indices, 0, longest, NULL), PST_OK);
            CHECK_INT(longest[0], 0);
            CHECK_INT(pst_gather_padded(dataset, indices, 1, NULL, dst, NULL), PST_EINVAL);
            struct pst_error err = {0};
            struct pst_dataset *both;
            CHECK_INT(pst_rows_concat(&both, (struct pst_dataset *[]){dataset, dataset}, 2, &err),
                      PST_EINVAL);
            CHECK_HAS(err.message, "rows of field 'text' are of different lengths");
            indices[1] = LONGEST_ROWS;
            CHECK_INT(pst_dataset_lengths(dataset, indices, 2, longest, NULL), PST_ERANGE);
            pst_dataset_unref(dataset);
        }
    tree_close(&tree);
}

static void submit(struct pst_loader *loader, const int64_t *indices)
{
    uint64_t ticket;
    CHECK_INT(pst_loader_submit(loader, indices, BATCH, 0, &ticket, NULL), PST_OK);
}

/* Batches in order, each of its own width, and one at once in between. */
static void run_batches(struct pst_loader *loader, int64_t most)
{
    int64_t indices[BATCHES][BATCH];
    struct pst_tensor fields[3];
    struct pst_event event;
    for (size_t b = 0; b < BATCHES; b++)
        for (size_t i = 0; i < BATCH; i++)
            indices[b][i] = b == 2 ? 4 /* of no items */
                                   : (int64_t)(pst__mix64(b * 100 + i) % LONGEST_ROWS) / 12 * 12 +
                                         (int64_t)b % 4;
    for (size_t b = 0; b < BATCHES + 3; b++) {
        if (b < BATCHES)
            submit(loader, indices[b]);
        if (b < 2)
            continue;
        if (b == 5) {
            CHECK_INT(pst_loader_gather(loader, indices[7], 11, fields, 3, NULL), PST_OK);
            longest_check_batch(fields, indices[7], 11, most);
            for (int f = 0; f < 3; f++)
                pst_tensor_reset(&fields[f]);
        }
        if (b - 2 == BATCHES)
            break;
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        CHECK_INT(pst_loader_take_fields(loader, event.ticket, fields, 3, NULL), PST_OK);
        longest_check_batch(fields, indices[b - 2], BATCH, most);
        for (int f = 0; f < 3; f++)
            pst_tensor_reset(&fields[f]);
    }
    CHECK_INT(pst_loader_wait(loader, &event, 0, NULL), PST_END);
}

static void batches(void)
{
    int64_t blocks = pst__mem_blocks();
    begin();
    for (int threads = 1; threads <= 4; threads++)
        for (int64_t most = 0; most < 20; most += 9) {
            struct pst_loader *loader =
                loader_over(opened(threads % 2 ? PST_ARRAY_MAP : PST_ARRAY_READ, most), threads, 0);
            for (int again = 0; again < 20; again++)
                run_batches(loader, most);
            pst_loader_close(&loader);
        }
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* Dropped at any moment. */
static void canceled(void)
{
    int64_t blocks = pst__mem_blocks(), indices[BATCH];
    begin();
    for (size_t i = 0; i < BATCH; i++)
        indices[i] = (int64_t)(i * 6);
    struct pst_loader *loader = loader_over(opened(PST_ARRAY_READ, 0), 3, 0);
    for (int round = 0; round < 300; round++) {
        struct pst_event event;
        for (int b = 0; b < 3; b++)
            submit(loader, indices);
        if (round % 3 == 0)
            CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        CHECK_INT(pst_loader_cancel(loader, NULL), PST_OK);
    }
    submit(loader, indices);
    pst_loader_close(&loader);
    tree_close(&tree);
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* Rows of 40 items do not fit, those of 4 do, before and behind. */
static void budgets(void)
{
    int64_t indices[3][BATCH];
    struct pst_tensor fields[3];
    struct pst_event event;
    begin();
    struct pst_loader *loader = loader_over(opened(PST_ARRAY_MAP, 0), 2, 1000);
    for (size_t b = 0; b < 3; b++)
        for (size_t i = 0; i < BATCH; i++)
            indices[b][i] = b == 1 && i == 17 ? 11 : 1;
    for (int b = 0; b < 3; b++)
        submit(loader, indices[b]);
    for (int b = 0; b < 3; b++) {
        struct pst_error err = {0};
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        int rc = pst_loader_take_fields(loader, event.ticket, fields, 3, &err);
        CHECK_INT(rc, b == 1 ? PST_ELIMIT : PST_OK);
        if (b == 1)
            CHECK_HAS(err.message, "of 30 rows takes 1728 bytes, the memory budget is 1000");
        for (int f = 0; f < 3; f++)
            pst_tensor_reset(&fields[f]);
    }
    struct pst_error err = {0};
    CHECK_INT(pst_loader_gather(loader, indices[1], BATCH, fields, 3, &err), PST_ELIMIT);
    pst_loader_close(&loader);
    tree_close(&tree);
}

/* A dataset of the caller's: what its lengths says is not trusted. */
struct caller {
    int64_t length;
    int status;
};

static int64_t caller_length(void *self)
{
    (void)self;
    return 10;
}

static int caller_fields(void *self, struct pst_field *fields, int most)
{
    (void)self;
    if (most > 0)
        fields[0] = (struct pst_field){"x", PST_I32, 2, {-1, 3}};
    return 1;
}

static int caller_lengths(void *self, const int64_t *indices, size_t n, int64_t *lengths,
                          struct pst_error *err)
{
    const struct caller *caller = self;
    if (caller->status < 0)
        err->record = indices[n - 1];
    lengths[0] = caller->length;
    return caller->status;
}

static int caller_gather(void *self, const int64_t *indices, size_t n, const int64_t *lengths,
                         void *const *dst, struct pst_error *err)
{
    (void)self;
    (void)indices;
    (void)err;
    memset(dst[0], 7, n * (size_t)lengths[0] * 12);
    return PST_OK;
}

static void lengths_of_a_caller(void)
{
    static const struct {
        struct caller caller;
        int expected;
        const char *text;
    } cases[] = {
        {{5, PST_OK}, PST_OK, ""},
        {{-1, PST_OK}, PST_ELIMIT, "a row of field 'x' has -1 items"},
        {{INT64_MAX, PST_OK}, PST_ELIMIT, "has 9223372036854775807 items of 12 bytes"},
        {{INT64_C(1) << 28, PST_OK}, PST_ELIMIT, "which is over 2147483648 bytes"},
        {{5, PST_EIO}, PST_EIO, "gather: "},
        {{5, 1}, PST_ECALLBACK, "gather returned 1"},
    };
    struct pst_dataset_vtable vtable = {.struct_size = sizeof vtable,
                                        .length = caller_length,
                                        .fields = caller_fields,
                                        .lengths = caller_lengths};
    struct pst_dataset *dataset;
    CHECK_INT(pst_dataset_new(&dataset, &vtable, NULL, NULL), PST_EINVAL);
    vtable.gather_padded = caller_gather;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct caller caller = cases[i].caller;
        struct pst_error err = {0};
        struct pst_event event;
        struct pst_tensor field;
        int64_t indices[BATCH] = {0, 1, 2};
        CHECK_INT(pst_dataset_new(&dataset, &vtable, &caller, NULL), PST_OK);
        struct pst_loader *loader = loader_over(dataset, 2, 0);
        submit(loader, indices);
        CHECK_INT(pst_loader_wait(loader, &event, 60000, NULL), PST_OK);
        CHECK_INT(pst_loader_take_fields(loader, event.ticket, &field, 1, &err), cases[i].expected);
        CHECK_HAS(err.message, cases[i].text);
        pst_tensor_reset(&field);
        pst_error_init(&err);
        CHECK_INT(pst_loader_gather(loader, indices, 3, &field, 1, &err), cases[i].expected);
        CHECK_HAS(err.message, cases[i].text);
        pst_tensor_reset(&field);
        pst_loader_close(&loader);
    }
}

CHECK_MAIN(CASE(gathered), CASE(batches), CASE(canceled), CASE(budgets), CASE(lengths_of_a_caller))
