/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include "base/mem.h"
#include "base/rng.h"
#include "check.h"

/* Datasets of pixels in memory, through the loader, against pst_transform_apply() image by image.
 * Arrays lie in blocks of exactly their size, so that the sanitizers see what is read beside them.
 */

enum { N = 150, W = 21, H = 13, BATCH = 64, N_BATCHES = (N + BATCH - 1) / BATCH, IMAGE = W * H };

/* How the pixels lie. */
enum layout { PACKED, PLANAR, COLUMNS, GAPS, UPSIDE_DOWN, GREY, GREY_COLUMNS, N_LAYOUTS };

/* How the dataset comes about: pst_pixels_open(), a user's that is uniform and cannot read sample
 * `bad`, a user's that says nothing of sizes. */
enum kind { ARRAY, BAD_UNIFORM, UNTOLD };

struct array {
    uint8_t *rgb; /* [N][H][W][3], what the images are */
    uint8_t *bytes;
    struct pst_pixels first;
    ptrdiff_t image;
    int bad;
    int n_closed;
};

static int is_grey(enum layout layout)
{
    return layout == GREY || layout == GREY_COLUMNS;
}

/* Strides of a layout, and the size of its block. */
static size_t lay_out(enum layout layout, struct pst_pixels *p, ptrdiff_t *image)
{
    *p = (struct pst_pixels){.width = W, .height = H, .channels = is_grey(layout) ? 1 : 3};
    *image = IMAGE * p->channels;
    p->row = W;
    p->pixel = 1;
    p->channel = IMAGE;
    if (layout == COLUMNS || layout == GREY_COLUMNS) {
        p->row = 1;
        p->pixel = H;
    } else if (layout == PACKED || layout == UPSIDE_DOWN) {
        p->row = 3 * W;
        p->pixel = 3;
        p->channel = 1;
    } else if (layout == GAPS) {
        p->row = 3 * W + 5;
        p->pixel = 3;
        p->channel = 1;
        *image = p->row * H + 7;
    }
    size_t size = (size_t)*image * N;
    if (layout == GAPS)
        size -= 7 + 5;
    if (layout == UPSIDE_DOWN)
        p->row = -p->row;
    return size;
}

static struct array *array_new(enum layout layout)
{
    struct array *a = calloc(1, sizeof *a);
    a->rgb = malloc((size_t)N * IMAGE * 3);
    a->bad = -1;
    a->bytes = malloc(lay_out(layout, &a->first, &a->image));
    a->first.data = a->bytes + (layout == UPSIDE_DOWN ? 3 * W * (H - 1) : 0);
    uint32_t seed = 7;
    for (int i = 0; i < N * IMAGE; i++) {
        int at = i % IMAGE;
        for (int c = 0; c < 3; c++) {
            seed = seed * 1664525u + 1013904223u;
            uint8_t v = (uint8_t)(seed >> 24);
            a->rgb[3 * i + c] = is_grey(layout) && c > 0 ? a->rgb[3 * i] : v;
            if (c < a->first.channels)
                a->bytes[a->first.data - a->bytes + (i / IMAGE) * a->image + at / W * a->first.row +
                         at % W * a->first.pixel + c * a->first.channel] = a->rgb[3 * i + c];
        }
    }
    return a;
}

static void array_release(void *opaque)
{
    ((struct array *)opaque)->n_closed++;
}

static void array_free(struct array *a)
{
    CHECK_INT(a->n_closed, 1);
    free(a->bytes);
    free(a->rgb);
    free(a);
}

static int64_t user_length(void *self)
{
    (void)self;
    return N;
}
static int user_read(void *self, int64_t index, struct pst_record *record, struct pst_error *err)
{
    struct array *a = self;
    struct pst_pixels pixels = a->first;
    (void)err;
    if (index == a->bad)
        return PST_EIO;
    pixels.data += index * a->image;
    pst_record_pixels(record, &pixels);
    return PST_OK;
}
static int64_t user_label(void *self, int64_t index)
{
    (void)self;
    return index * 5;
}
static int user_uniform(void *self, struct pst_pixels *size)
{
    *size = ((struct array *)self)->first;
    return PST_OK;
}

static struct pst_dataset *dataset_new(struct array *a, enum kind kind)
{
    static int64_t labels[N];
    struct pst_dataset *dataset = NULL;
    struct pst_dataset_vtable vtable = {.struct_size = sizeof vtable,
                                        .length = user_length,
                                        .read = user_read,
                                        .label = user_label,
                                        .close = array_release,
                                        .uniform = kind == UNTOLD ? NULL : user_uniform};
    for (int i = 0; i < N; i++)
        labels[i] = i * 5;
    if (kind == ARRAY)
        CHECK_INT(pst_pixels_open(&dataset, &a->first, N, a->image, labels, array_release, a, NULL),
                  PST_OK);
    else
        CHECK_INT(pst_dataset_new(&dataset, &vtable, a, NULL), PST_OK);
    return dataset;
}

enum steps { NO_STEPS, FLIPS, PADDED_FLIPS, TRAIN, EVAL, REFUSED, N_STEPS };

static struct pst_transform *transform_new(enum steps steps, int channels, int dtype)
{
    static const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    static const struct pst_op ops[N_STEPS][3] = {
        [FLIPS] = {{.kind = PST_OP_RANDOM_HFLIP, .threshold = 1u << 23},
                   {.kind = PST_OP_RANDOM_VFLIP, .threshold = 1u << 22}},
        [PADDED_FLIPS] = {{.kind = PST_OP_CENTER_CROP, .h = H + 7, .w = W - 6},
                          {.kind = PST_OP_RANDOM_HFLIP, .threshold = 1u << 23}},
        [TRAIN] = {{.kind = PST_OP_RANDOM_RESIZED_CROP,
                    .filter = PST_FILTER_BILINEAR,
                    .h = 16,
                    .w = 17,
                    .scale = {0.08, 1.0},
                    .ratio = {3. / 4, 4. / 3},
                    .log_ratio = {-0.287682086f, 0.287682086f}},
                   {.kind = PST_OP_RANDOM_HFLIP, .threshold = 1u << 23}},
        [EVAL] = {{.kind = PST_OP_RESIZE_SHORT, .filter = PST_FILTER_BICUBIC, .h = 18},
                  {.kind = PST_OP_CENTER_CROP, .h = 16, .w = 16}},
        [REFUSED] = {{.kind = PST_OP_RANDOM_HFLIP, .threshold = 1u << 23},
                     {.kind = PST_OP_RESIZE_SHORT, .filter = PST_FILTER_BICUBIC, .h = 50000}},
    };
    struct pst_output output = {.dtype = PST_U8};
    struct pst_transform *transform = NULL;
    if (dtype == PST_F32)
        pst_output_normalize(&output, 0, mean, std);
    const struct pst_transform_config config = {.struct_size = sizeof config,
                                                .ops = ops[steps],
                                                .n_ops = steps == NO_STEPS ? 0 : 2,
                                                .output = &output,
                                                .channels = channels};
    CHECK_INT(pst_transform_new(&transform, &config, NULL), PST_OK);
    return transform;
}

struct setup {
    struct array *array;
    struct pst_dataset *dataset;
    struct pst_transform *transform;
    struct pst_loader *loader;
};

static void setup(struct setup *s, enum layout layout, enum kind kind, enum steps steps,
                  struct pst_loader_config config)
{
    s->array = array_new(layout);
    s->dataset = dataset_new(s->array, kind);
    s->transform = transform_new(steps, s->array->first.channels, layout % 2 ? PST_U8 : PST_F32);
    config.dataset = s->dataset;
    config.transform = s->transform;
    config.batch_size = BATCH;
    CHECK_INT(pst_loader_open(&s->loader, &config, NULL), PST_OK);
}

static void teardown(struct setup *s)
{
    pst_loader_close(&s->loader);
    pst_transform_unref(s->transform);
    CHECK_INT(s->array->n_closed, 0);
    pst_dataset_unref(s->dataset);
    array_free(s->array);
}

static size_t apply_one(const struct setup *s, int64_t index, const uint32_t *words,
                        struct pst_tensor *out)
{
    size_t used = 0;
    CHECK_INT(pst_transform_apply(s->transform, s->array->rgb + index * IMAGE * 3, W, H, 3 * W,
                                  words, 64, &used, out, NULL),
              PST_OK);
    return used;
}

/* Words of each stream as its batches take them. */
struct streams {
    uint32_t words[3][64 * N + 64];
    size_t at[3];
};

static void streams_init(struct streams *streams, uint32_t seed)
{
    for (uint32_t i = 0; i < 3; i++) {
        struct pst__mt mt;
        pst__mt_seed(&mt, seed + i);
        pst__mt_fill(&mt, streams->words[i], PST_COUNTOF(streams->words[i]));
        streams->at[i] = 0;
    }
}

/* Every 7th from there: order is not that of the array. */
static int64_t index_of(int b, int i)
{
    return (int64_t)(b * BATCH + i) * 7 % N;
}
static int size_of(int b)
{
    return (b + 1) * BATCH <= N ? BATCH : N - b * BATCH;
}

/* failed: the slot at which the batch ends, or -1. */
static void check_batch(const struct setup *s, const struct pst_batch *batch, int b, int failed,
                        struct streams *streams, int stream)
{
    int n = failed < 0 ? size_of(b) : failed;
    for (int i = 0; i < n; i++) {
        struct pst_tensor one = {0};
        streams->at[stream] +=
            apply_one(s, index_of(b, i), streams->words[stream] + streams->at[stream], &one);
        size_t size = (size_t)pst_tensor_numel(&one) * pst_dtype_size(one.dtype);
        if (failed < 0) {
            CHECK_INT(batch->images.shape[1], one.shape[0]);
            CHECK(!memcmp((uint8_t *)batch->images.data + (size_t)i * size, one.data, size));
            CHECK_INT(((int64_t *)batch->labels.data)[i], index_of(b, i) * 5);
        }
        pst_tensor_reset(&one);
    }
}

static void submit_batch(struct setup *s, int b, int n_streams)
{
    int64_t indices[BATCH];
    uint64_t ticket;
    for (int i = 0; i < size_of(b); i++)
        indices[i] = index_of(b, i);
    CHECK_INT(
        pst_loader_submit(s->loader, indices, (size_t)size_of(b), b % n_streams, &ticket, NULL),
        PST_OK);
}

static void resolve(struct setup *s, const struct pst_event *event)
{
    static uint8_t rgbx[IMAGE * 4];
    for (int i = 0; i < IMAGE; i++)
        memcpy(rgbx + 4 * i, s->array->rgb + (event->index * IMAGE + i) * 3, 3);
    CHECK_INT(pst_loader_resolve(s->loader, event->ticket, event->slot, rgbx, W, H, 4 * W, 1, NULL),
              PST_OK);
}

/* One epoch; the sample that cannot be read ends its batch, or the reference has it. */
static void run_epoch(struct setup *s, uint32_t seed, int n_streams, int window, int is_resolved)
{
    static struct streams streams;
    int submitted = 0, n_doubts = 0;
    streams_init(&streams, seed);
    for (int i = 0; i < n_streams; i++)
        CHECK_INT(pst_loader_seed(s->loader, i, seed + (uint32_t)i, NULL), PST_OK);
    for (int b = 0; b < N_BATCHES;) {
        while (submitted < N_BATCHES && submitted < b + window)
            submit_batch(s, submitted++, n_streams);
        struct pst_event event;
        struct pst_batch batch = {0};
        CHECK_INT(pst_loader_wait(s->loader, &event, 60000, NULL), PST_OK);
        if (event.kind == PST_EVENT_DOUBT) {
            CHECK_INT(event.index, s->array->bad);
            CHECK_INT(event.error.status, PST_EIO);
            CHECK(!event.data);
            n_doubts++;
            if (is_resolved)
                resolve(s, &event);
            else
                CHECK_INT(pst_loader_fail(s->loader, event.ticket, event.slot, NULL), PST_OK);
            continue;
        }
        CHECK_INT(pst_loader_take(s->loader, event.ticket, &batch, NULL), PST_OK);
        int failed = event.kind == PST_EVENT_FAILED ? event.slot : -1;
        CHECK(failed >= 0 || batch.images.data);
        check_batch(s, &batch, b, failed, &streams, b % n_streams);
        pst_batch_reset(&batch);
        b++;
    }
    CHECK_INT(n_doubts, s->array->bad >= 0);
}

static struct pst_loader_config config_of(int threads, int n_streams, int ahead)
{
    struct pst_loader_config config;
    pst_loader_config_init(&config);
    config.threads = threads;
    config.n_streams = n_streams;
    config.ahead = ahead;
    return config;
}

static void test_every_layout_and_step(void)
{
    int64_t blocks = pst__mem_blocks();
    for (int layout = 0; layout < N_LAYOUTS; layout++)
        for (int steps = 0; steps < REFUSED; steps++)
            for (int kind = 0; kind <= UNTOLD; kind += UNTOLD) {
                struct setup s;
                int threads = 1 + (layout + steps) % 4, streams = 1 + steps % 3;
                setup(&s, (enum layout)layout, (enum kind)kind, (enum steps)steps,
                      config_of(threads, streams, 1 + layout % 4));
                run_epoch(&s, 11, streams, 1 + layout % 4, 0);
                run_epoch(&s, 99, streams, 1 + layout % 4, 0);
                teardown(&s);
            }
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* A sample that cannot be read has been planned for already: when it fails its batch, its draws are
 * taken back and later batches of its stream begin anew. */
static void test_bad_sample(void)
{
    for (int bad = 0; bad < N; bad += 37)
        for (int is_resolved = 0; is_resolved < 2; is_resolved++)
            for (int threads = 1; threads <= 4; threads += 3)
                for (int streams = 1; streams <= 2; streams++) {
                    struct setup s;
                    setup(&s, PLANAR, BAD_UNIFORM, TRAIN, config_of(threads, streams, 3));
                    s.array->bad = bad;
                    run_epoch(&s, 5, streams, 3, is_resolved);
                    run_epoch(&s, 6, streams, 3, is_resolved);
                    teardown(&s);
                }
}

/* Where a step refuses the size, the steps before it have drawn. */
static void test_refused_size(void)
{
    struct setup s;
    setup(&s, PACKED, ARRAY, REFUSED, config_of(2, 1, 2));
    CHECK_INT(pst_loader_seed(s.loader, 0, 1, NULL), PST_OK);
    for (int b = 0; b < N_BATCHES; b++) {
        static uint8_t rgbx[IMAGE * 4];
        struct pst_event event;
        struct pst_batch batch = {0};
        submit_batch(&s, b, 1);
        CHECK_INT(pst_loader_wait(s.loader, &event, 60000, NULL), PST_OK);
        CHECK_INT(event.kind, PST_EVENT_DOUBT);
        CHECK_INT(event.error.status, PST_ELIMIT);
        CHECK_INT(event.slot, 0);
        CHECK_INT(pst_loader_resolve(s.loader, event.ticket, 0, rgbx, W, H, 4 * W, 1, NULL),
                  PST_ELIMIT);
        CHECK_INT(pst_loader_fail(s.loader, event.ticket, 0, NULL), PST_OK);
        CHECK_INT(pst_loader_wait(s.loader, &event, 60000, NULL), PST_OK);
        CHECK_INT(event.kind, PST_EVENT_FAILED);
        CHECK_INT(event.words, 1);
        CHECK_INT(pst_loader_take(s.loader, event.ticket, &batch, NULL), PST_OK);
    }
    teardown(&s);
}

/* With keyed draws it does not matter in which company a sample comes. */
static void test_sample_rng(void)
{
    struct pst_tensor first[N] = {{0}};
    for (int run = 0; run < 3; run++) {
        struct pst_loader_config config = config_of(1 + run, 1, 2);
        config.rng = PST_RNG_SAMPLE;
        struct setup s;
        setup(&s, PACKED, ARRAY, TRAIN, config);
        int step = run == 2 ? 3 : BATCH;
        CHECK_INT(pst_loader_seed(s.loader, 0, 42, NULL), PST_OK);
        for (int at = 0; at < N; at += step) {
            int64_t indices[BATCH];
            size_t n = 0;
            uint64_t ticket;
            struct pst_event event;
            struct pst_batch batch = {0};
            for (int i = at; i < N && n < (size_t)step; i++)
                indices[n++] = run == 1 ? N - 1 - i : i;
            CHECK_INT(pst_loader_submit(s.loader, indices, n, 0, &ticket, NULL), PST_OK);
            CHECK_INT(pst_loader_wait(s.loader, &event, 60000, NULL), PST_OK);
            CHECK_INT(pst_loader_take(s.loader, ticket, &batch, NULL), PST_OK);
            size_t size = (size_t)pst_tensor_numel(&batch.images) / n * sizeof(float);
            for (size_t i = 0; i < n; i++) {
                struct pst_tensor *kept = &first[indices[i]];
                const uint8_t *got = (uint8_t *)batch.images.data + i * size;
                if (run == 0) {
                    pst_tensor_ref(kept, &batch.images);
                    kept->data = (uint8_t *)batch.images.data + i * size;
                }
                CHECK(!memcmp(kept->data, got, size));
            }
            pst_batch_reset(&batch);
        }
        teardown(&s);
    }
    for (int i = 0; i < N; i++)
        pst_tensor_reset(&first[i]);
}

/* Close and cancel while runs are under way, with a budget of nothing. */
static void test_close_and_cancel_at_any_stage(void)
{
    int64_t blocks = pst__mem_blocks();
    for (int stage = 0; stage < 40; stage++) {
        struct pst_loader_config config = config_of(1 + stage % 4, 1, 3);
        config.memory_budget = stage % 2 ? BATCH * 3 * IMAGE * sizeof(float) : 0;
        config.rng = stage % 5 == 4 ? PST_RNG_SAMPLE : PST_RNG_TORCH;
        struct setup s;
        setup(&s, PLANAR, stage % 3 ? ARRAY : BAD_UNIFORM, TRAIN, config);
        s.array->bad = stage % 3 ? -1 : 5;
        CHECK_INT(pst_loader_seed(s.loader, 0, 3, NULL), PST_OK);
        for (int b = 0; b < stage % 4 && b < N_BATCHES; b++) {
            struct pst_event event;
            submit_batch(&s, b, 1);
            if (stage % 2)
                pst_loader_wait(s.loader, &event, stage % 3, NULL);
        }
        if (stage % 4 == 1) {
            CHECK_INT(pst_loader_cancel(s.loader, NULL), PST_OK);
            if (config.rng == PST_RNG_TORCH)
                run_epoch(&s, 9, 1, 3, stage % 8 == 1);
        }
        teardown(&s);
    }
    CHECK_INT(pst__mem_blocks(), blocks);
}

/* read() may not contradict uniform(). */
static void test_broken_promise(void)
{
    struct setup s;
    struct pst_event event;
    setup(&s, PACKED, BAD_UNIFORM, FLIPS, config_of(2, 1, 2));
    CHECK_INT(pst_loader_seed(s.loader, 0, 3, NULL), PST_OK);
    s.array->first.width--;
    submit_batch(&s, 0, 1);
    CHECK_INT(pst_loader_wait(s.loader, &event, 60000, NULL), PST_OK);
    CHECK_INT(event.kind, PST_EVENT_DOUBT);
    CHECK_INT(event.error.status, PST_ECALLBACK);
    teardown(&s);
}

/* Colours cannot go through a transform for grey images; grey ones through one for colours can. */
static void test_channels(void)
{
    struct pst_loader_config config = config_of(1, 1, 1);
    struct pst_loader *loader = NULL;
    struct array *a = array_new(PACKED), *grey = array_new(GREY);
    config.dataset = dataset_new(a, ARRAY);
    config.transform = transform_new(FLIPS, 1, PST_F32);
    CHECK_INT(pst_loader_open(&loader, &config, NULL), PST_EINVAL);
    pst_dataset_unref(config.dataset);
    config.dataset = dataset_new(a, UNTOLD);
    a->n_closed = 0;
    CHECK_INT(pst_loader_open(&loader, &config, NULL), PST_OK);
    struct pst_batch batch = {0};
    CHECK_INT(pst_loader_next(loader, &batch, NULL), PST_EINVAL);
    pst_loader_close(&loader);
    pst_dataset_unref(config.dataset);
    pst_transform_unref(config.transform);
    array_free(a);

    config.dataset = dataset_new(grey, ARRAY);
    config.transform = transform_new(NO_STEPS, 3, PST_U8);
    CHECK_INT(pst_loader_open(&loader, &config, NULL), PST_OK);
    CHECK_INT(pst_loader_next(loader, &batch, NULL), PST_OK);
    CHECK_INT(batch.images.shape[1], 3);
    for (int c = 0; c < 3; c++)
        CHECK(!memcmp((uint8_t *)batch.images.data + c * IMAGE, grey->bytes, IMAGE));
    pst_batch_reset(&batch);
    pst_loader_close(&loader);
    pst_dataset_unref(config.dataset);
    pst_transform_unref(config.transform);
    array_free(grey);
}

CHECK_MAIN(CASE(test_every_layout_and_step), CASE(test_bad_sample), CASE(test_refused_size),
           CASE(test_sample_rng), FAULT("R31", test_close_and_cancel_at_any_stage),
           CASE(test_broken_promise), CASE(test_channels))
