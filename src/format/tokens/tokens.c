/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/tokens.h>

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "format/access.h"
#include "format/looks.h"
#include "format/self.h"
#include "format/tokens/token_form.h"
#include "io/guard.h"
#include "sample/mixture.h"

#define SHOWN 320
/* Tokens are read by pread() in pieces of this many bytes. */
#define PIECE 16384
/* Around the page cache, as many windows at once as this and the memory of a chunk have room for.
 */
#define CHUNK_WINDOWS 64
#define CHUNK ((size_t)256 << 10)

/* The files of a group, in the order given. */
struct group {
    struct pst__token_file *files; /* in tokens->files */
    uint64_t *firsts;              /* of each file, its first window */
    size_t n_files;
    uint64_t n_windows;
};

struct tokens {
    struct pst_tokens_config config; /* weights is NULL */
    struct pst__window_rule rule;
    struct pst__token_file *files; /* sorted by group */
    uint64_t *firsts;
    size_t n_files, n_groups;
    struct group *groups;
    struct pst__mixture mixture; /* of several groups */
    int64_t length;
    struct pst__token_form form;
    struct pst__looks looks;
    struct pst__choice choice;
};

static int64_t tokens_length(void *self)
{
    return ((struct tokens *)self)->length;
}

static int tokens_fields(void *self, struct pst_field *fields, int most)
{
    const struct tokens *tokens = self;
    int n = tokens->config.has_targets ? 2 : 1;
    for (int i = 0; i < n && i < most; i++)
        fields[i] = (struct pst_field){.name = i == 0 ? "x" : "y",
                                       .dtype = tokens->config.dtype,
                                       .ndim = 1,
                                       .shape = {tokens->config.window}};
    return n;
}

/* --- places
 * ------------------------------------------------------------------------------------------- */

static struct pst__token_place place_of(const struct tokens *tokens, int64_t index)
{
    uint64_t i = (uint64_t)index, n;
    uint32_t g = 0;
    if (tokens->n_groups > 1)
        i = pst__mixture_at(&tokens->mixture, i, &g);
    const struct group *group = &tokens->groups[g];
    size_t low = 0, high = group->n_files - 1;
    while (low < high) { /* the last that begins at i or before; files without windows begin late */
        size_t middle = high - (high - low) / 2;
        if (group->firsts[middle] <= i)
            low = middle;
        else
            high = middle - 1;
    }
    struct pst__token_file *file = &group->files[low];
    uint64_t token = pst__windows_at(&file->windows, i - group->firsts[low], &n);
    return (struct pst__token_place){file, file->offset + token * file->token_size, (size_t)n};
}

/* --- copies
 * ------------------------------------------------------------------------------------------- */

/* A gather that goes on. `place` is that of the window at `done`, for whoever has to say where it
 * was left. */
struct task {
    const struct tokens *tokens;
    const int64_t *indices;
    size_t n, done;
    uint8_t *x, *y; /* y: NULL without targets */
    struct pst__token_place place;
    int is_cut;
};

static uint8_t *row(const struct task *task, uint8_t *field)
{
    return field ? field + task->done * task->tokens->rule.window * task->tokens->form.item : NULL;
}

/* The processor fetches what follows on what is read, but not the beginning of another window. */
static struct pst__token_place place_ahead(const struct task *task, size_t i)
{
    struct pst__token_place place = place_of(task->tokens, task->indices[i]);
    __builtin_prefetch(pst__source_data(place.file->source) + place.offset);
    return place;
}

static void copy_mapped(void *arg)
{
    struct task *task = arg;
    const struct tokens *tokens = task->tokens;
    struct pst__token_place next = place_ahead(task, 0);
    for (; task->done < task->n; task->done++) {
        task->place = next;
        const struct pst__token_place *place = &task->place;
        if (task->done + 1 < task->n)
            next = place_ahead(task, task->done + 1);
        uint8_t *x = row(task, task->x), *y = row(task, task->y);
        const uint8_t *src = pst__source_data(place->file->source) + place->offset;
        task->is_cut = pst__token_form_widen(&tokens->form, place, x, y, 0, src, place->n);
        if (task->is_cut)
            return;
        pst__token_form_pad(&tokens->form, place, x, y);
    }
}

/* The first window of which the file has no longer all. */
static int check_cut(struct task *task, struct pst_error *err)
{
    const struct pst__token_file *file = NULL;
    uint64_t size = 0;
    for (task->done = 0; task->done < task->n; task->done++) {
        struct pst__token_place place = place_of(task->tokens, task->indices[task->done]);
        uint64_t n = place.n * place.file->token_size;
        if (place.file != file)
            size = pst__source_size_now(place.file->source);
        file = place.file;
        if (place.offset + n > size)
            return pst__source_fault(file->source, NULL, place.offset, n, err);
    }
    return PST_OK;
}

static int copy_guarded(struct task *task, struct pst_error *err)
{
    const void *address = NULL;
    int rc = pst__guarded(copy_mapped, task, &address);
    if (task->is_cut)
        return PST_OK;
    size_t done = task->done;
    const struct pst__token_place place = task->place;
    /* Before a fault there may be windows that were cut already. */
    int cut = check_cut(task, err);
    if (cut < 0 || rc == PST_OK)
        return cut;
    task->done = done;
    return pst__source_fault(place.file->source, address, place.offset,
                             place.n * place.file->token_size, err);
}

/* A window by pread(), in pieces; with targets the last token of a piece is the first of the next.
 */
static int read_window(struct task *task, struct pst_error *err)
{
    const struct tokens *tokens = task->tokens;
    const struct pst__token_place *place = &task->place;
    size_t size = place->file->token_size, shared = task->y ? 1 : 0;
    uint8_t piece[PIECE], *x = row(task, task->x), *y = row(task, task->y);
    for (size_t first = 0;;) {
        size_t n = place->n - first < PIECE / size ? place->n - first : PIECE / size;
        int rc = pst__source_read(place->file->source, place->offset + first * size, n * size,
                                  piece, err);
        if (rc < 0)
            return rc;
        if (pst__token_form_widen(&tokens->form, place, x, y, first, piece, n)) {
            task->is_cut = 1;
            return PST_OK;
        }
        if (first + n == place->n)
            break;
        first += n - shared;
    }
    pst__token_form_pad(&tokens->form, place, x, y);
    return PST_OK;
}

static int copy_read(struct task *task, struct pst_error *err)
{
    for (; task->done < task->n; task->done++) {
        task->place = place_of(task->tokens, task->indices[task->done]);
        int rc = read_window(task, err);
        if (rc < 0 || task->is_cut)
            return rc;
    }
    return PST_OK;
}

/* As many windows as fit the memory, by one call that has many reads in flight. Returns how many,
 * 0: the next one alone does not fit. */
static int copy_chunk(struct task *task, uint8_t *memory, struct pst_error *err)
{
    const struct tokens *tokens = task->tokens;
    struct pst__span spans[CHUNK_WINDOWS];
    struct pst__token_place places[CHUNK_WINDOWS];
    size_t used = 0;
    int n = 0;
    for (; n < CHUNK_WINDOWS && task->done + (size_t)n < task->n; n++) {
        int64_t i = (int64_t)task->done + n;
        struct pst__token_place place = places[n] = place_of(tokens, task->indices[i]);
        size_t bytes = place.n * place.file->token_size;
        if (bytes > CHUNK - used)
            break;
        spans[n] = (struct pst__span){place.file->source, place.offset, bytes, memory + used, i};
        used += bytes;
    }
    struct pst_error own;
    pst_error_init(&own);
    int rc = pst__spans_read(spans, (size_t)n, &own);
    if (rc < 0) {
        task->done = (size_t)own.record;
        if (err && err->status >= 0)
            *err = own;
        return rc;
    }
    for (int k = 0; k < n; k++, task->done++) {
        const struct pst__token_place *place = &places[k];
        uint8_t *x = row(task, task->x), *y = row(task, task->y);
        task->place = *place;
        if ((task->is_cut =
                 pst__token_form_widen(&tokens->form, place, x, y, 0, memory, place->n)) != 0)
            return n;
        pst__token_form_pad(&tokens->form, place, x, y);
        memory += place->n * place->file->token_size;
    }
    return n;
}

static int copy_direct(struct task *task, struct pst_error *err)
{
    uint8_t *memory = pst__alloc(CHUNK, PST_MEM_SCRATCH);
    if (!memory)
        return pst__fail(err, PST_ENOMEM, "no memory for windows of tokens");
    int rc = PST_OK;
    while (rc >= 0 && task->done < task->n && !task->is_cut) {
        rc = copy_chunk(task, memory, err);
        if (rc != 0)
            continue;
        task->place = place_of(task->tokens, task->indices[task->done]);
        rc = read_window(task, err);
        if (rc == PST_OK && !task->is_cut)
            task->done++;
    }
    pst__free(memory);
    return rc < 0 ? rc : PST_OK;
}

/* --- intent
 * ------------------------------------------------------------------------------------------- */

/* Are some of these windows not in memory? To ask the system takes about as long as to copy one, so
 * a few answer for all. */
static int is_cold(struct tokens *tokens, const int64_t *indices, size_t n, int is_ahead)
{
    if (!pst__looks_due(&tokens->looks, is_ahead))
        return 0;
    for (size_t i = 0; i < PST__LOOKS_ROWS; i++) {
        struct pst__token_place place =
            place_of(tokens, indices[i * (n - 1) / (PST__LOOKS_ROWS - 1)]);
        if (!pst__source_is_resident(place.file->source, place.offset))
            return pst__looks_found(&tokens->looks, is_ahead, 1);
    }
    return pst__looks_found(&tokens->looks, is_ahead, 0);
}

static void intend_bytes(struct pst__token_file *file, uint64_t begin, uint64_t end, int is_ahead)
{
    if (is_ahead)
        pst__ahead_intend(&file->ahead, file->source, begin, (size_t)(end - begin));
    else
        pst__source_intend(file->source, begin, (size_t)(end - begin));
}

/* Windows that touch are one wish. */
static void intend(struct tokens *tokens, const int64_t *indices, size_t n, int is_ahead)
{
    struct pst__token_file *file = NULL;
    uint64_t begin = 0, end = 0;
    if (n == 0 || tokens->config.access == PST_ARRAY_DIRECT)
        return;
    int is_wanted = is_cold(tokens, indices, n, is_ahead);
    for (size_t i = 0; i < n; i++) {
        struct pst__token_place place = place_of(tokens, indices[i]);
        uint64_t behind = place.offset + place.n * place.file->token_size;
        if (!is_wanted && !(is_ahead && pst__ahead_is_on(&place.file->ahead, place.offset)))
            continue;
        if (place.file == file && place.offset >= begin && place.offset <= end) {
            end = behind > end ? behind : end;
            continue;
        }
        if (file)
            intend_bytes(file, begin, end, is_ahead);
        file = place.file;
        begin = place.offset;
        end = behind;
    }
    if (file)
        intend_bytes(file, begin, end, is_ahead);
}

static void tokens_intend(void *self, const int64_t *indices, size_t n)
{
    intend(self, indices, n, 1);
}

static int tokens_gather(void *self, const int64_t *indices, size_t n, void *const *dst,
                         struct pst_error *err)
{
    const struct tokens *tokens = self;
    if (n == 0)
        return PST_OK;
    struct task task = {.tokens = tokens,
                        .indices = indices,
                        .n = n,
                        .x = dst[0],
                        .y = tokens->config.has_targets ? dst[1] : NULL};
    if (n >= PST__LOOKS_ROWS)
        intend(self, indices, n, 0);
    int rc = tokens->config.access == PST_ARRAY_MAP    ? copy_guarded(&task, err)
             : tokens->config.access == PST_ARRAY_READ ? copy_read(&task, err)
                                                       : copy_direct(&task, err);
    if (rc == PST_OK && task.is_cut)
        rc = pst__token_form_refuse(&task.place, err);
    if (rc < 0 && err)
        err->record = indices[task.done];
    return rc;
}

/* --- opening
 * ------------------------------------------------------------------------------------------ */

static int64_t tokens_memory(void *self)
{
    const struct tokens *tokens = self;
    return tokens->config.access == PST_ARRAY_DIRECT ? (int64_t)(PST__DIRECT_BYTES + CHUNK) : 0;
}

static void tokens_close(void *self)
{
    struct tokens *tokens = self;
    pst__mixture_reset(&tokens->mixture);
    for (size_t i = 0; tokens->files && i < tokens->n_files; i++)
        pst__token_file_reset(&tokens->files[i]);
    pst__free(tokens->files);
    pst__free(tokens->firsts);
    pst__free(tokens->groups);
    pst__free(tokens);
}

static const struct pst_dataset_vtable tokens_vtable = {
    .struct_size = sizeof tokens_vtable,
    .length = tokens_length,
    .close = tokens_close,
    .fields = tokens_fields,
    .gather = tokens_gather,
    .intend = tokens_intend,
    .memory = tokens_memory,
};

static int fits(int64_t value, int dtype)
{
    return dtype == PST_I64 || (value >= INT32_MIN && value <= INT32_MAX);
}

static int check_config(struct pst_tokens_config *config, size_t n_sources, struct pst_error *err)
{
    if (config->stride == 0)
        config->stride = config->window;
    if (!config->weights)
        config->n_groups = 1;
    PST_REQUIRE(config->window >= 1, err, "a window of %" PRId64 " tokens", config->window);
    PST_REQUIRE(config->stride >= 1, err, "a stride of %" PRId64 " tokens", config->stride);
    PST_REQUIRE(config->dtype == PST_I64 || config->dtype == PST_I32, err,
                "tokens of dtype %d, expected PST_I64 or PST_I32", config->dtype);
    if (config->window > PST_MAX_OUTPUT / 8)
        return pst__fail(err, PST_ELIMIT, "a window of %" PRId64 " tokens, the limit is %lld",
                         config->window, PST_MAX_OUTPUT / 8);
    PST_REQUIRE(config->documents == PST_DOCUMENTS_IGNORE ||
                    config->documents == PST_DOCUMENTS_WITHIN,
                err, "documents is %d", config->documents);
    PST_REQUIRE(!config->is_padded ||
                    (fits(config->pad, config->dtype) && fits(config->ignore_index, config->dtype)),
                err, "pad %" PRId64 " or ignore_index %" PRId64 " does not fit in int32",
                config->pad, config->ignore_index);
    PST_REQUIRE(config->access >= PST_ARRAY_CHOOSE && config->access <= PST_ARRAY_DIRECT, err,
                "access is %d", config->access);
    PST_REQUIRE(config->length >= 0, err, "a mixture of %" PRId64 " samples", config->length);
    PST_REQUIRE(n_sources >= 1, err, "no file of tokens");
    PST_REQUIRE(config->n_groups >= 1 && config->n_groups <= PST_MIXTURE_GROUPS, err,
                "%zu groups, expected 1 to %d", config->n_groups, PST_MIXTURE_GROUPS);
    for (size_t g = 0; config->weights && g < config->n_groups; g++)
        PST_REQUIRE(isfinite(config->weights[g]) && config->weights[g] > 0, err,
                    "weight %g of group %zu is not a positive number", config->weights[g], g);
    return PST_OK;
}

static int choose_access(struct tokens *tokens, const struct pst_token_source *sources,
                         struct pst_error *err)
{
    uint64_t total = 0, bytes;
    for (size_t i = 0; i < tokens->n_files; i++) {
        int rc = pst__token_file_size(&sources[i], &bytes, err);
        if (rc < 0)
            return rc;
        total = total + bytes < total ? UINT64_MAX : total + bytes;
    }
    struct pst__facts facts;
    pst__access_facts(&facts, total, tokens->config.memory_budget, sources[0].path);
    pst__access_choose(&tokens->choice, &facts);
    return PST_OK;
}

/* Opens the files of group g behind the n_files that are open. */
static int open_group(struct tokens *tokens, const struct pst_token_source *sources, size_t g,
                      size_t *n_files, struct pst_error *err)
{
    struct group *group = &tokens->groups[g];
    enum pst__access access = pst__access_of(tokens->config.access);
    int within = tokens->config.documents == PST_DOCUMENTS_WITHIN;
    group->files = tokens->files + *n_files;
    group->firsts = tokens->firsts + *n_files;
    for (size_t i = 0; i < tokens->n_files; i++) {
        if ((size_t)sources[i].group != g)
            continue;
        struct pst__token_file *file = &tokens->files[(*n_files)++];
        int rc = pst__token_file_open(file, &sources[i], access, within, err);
        if (rc < 0 || (rc = pst__token_file_set_windows(file, &tokens->rule, err)) < 0)
            return rc;
        pst__source_random(file->source);
        pst__access_opened(&tokens->choice, file->source);
        group->firsts[group->n_files++] = group->n_windows;
        group->n_windows += file->windows.n;
    }
    PST_REQUIRE(group->n_files > 0, err, "group %zu has no file", g);
    return PST_OK;
}

static int mix(struct tokens *tokens, const double *weights, struct pst_error *err)
{
    uint64_t sizes[PST_MIXTURE_GROUPS], total = 0;
    uint32_t bad = 0;
    for (size_t g = 0; g < tokens->n_groups; g++) {
        sizes[g] = tokens->groups[g].n_windows;
        total += sizes[g];
        if (tokens->n_groups > 1)
            PST_REQUIRE(sizes[g] > 0, err, "the files of group %zu have no window", g);
    }
    if (total > INT64_MAX)
        return pst__fail(err, PST_ELIMIT, "%" PRIu64 " windows", total);
    tokens->length =
        tokens->n_groups > 1 && tokens->config.length ? tokens->config.length : (int64_t)total;
    if (tokens->n_groups == 1)
        return PST_OK;
    int rc = pst__mixture_init(&tokens->mixture, weights, sizes, (uint32_t)tokens->n_groups,
                               tokens->config.seed, &bad);
    if (rc == PST_EINVAL)
        return pst__fail(err, rc, "weight %g of group %" PRIu32 " is less than 1/%d of all",
                         weights[bad], bad, PST_MIXTURE_BLOCK);
    return rc < 0 ? pst__fail(err, rc, "no memory for a mixture of tokens") : PST_OK;
}

static int set_up(struct tokens *tokens, const struct pst_token_source *sources,
                  const double *weights, struct pst_error *err)
{
    const struct pst_tokens_config *config = &tokens->config;
    int rc;
    tokens->rule = (struct pst__window_rule){.window = (uint64_t)config->window,
                                             .stride = (uint64_t)config->stride,
                                             .has_targets = config->has_targets,
                                             .is_padded = config->is_padded};
    tokens->form = (struct pst__token_form){.dtype = config->dtype,
                                            .item = pst_dtype_size(config->dtype),
                                            .window = (size_t)config->window,
                                            .pad = config->pad,
                                            .ignore_index = config->ignore_index,
                                            .kernels = pst__kernels()};
    tokens->n_groups = config->n_groups;
    tokens->files = pst__calloc(tokens->n_files, sizeof *tokens->files, PST_MEM_HEAP);
    tokens->firsts = pst__calloc(tokens->n_files, sizeof *tokens->firsts, PST_MEM_HEAP);
    tokens->groups = pst__calloc(tokens->n_groups, sizeof *tokens->groups, PST_MEM_HEAP);
    if (!tokens->files || !tokens->firsts || !tokens->groups)
        return pst__fail(err, PST_ENOMEM, "no memory for %zu files of tokens", tokens->n_files);
    pst__access_wished(&tokens->choice, config->access);
    if (config->access == PST_ARRAY_CHOOSE && (rc = choose_access(tokens, sources, err)) < 0)
        return rc;
    tokens->config.access = tokens->choice.access;
    size_t n_files = 0;
    for (size_t g = 0; g < tokens->n_groups; g++)
        if ((rc = open_group(tokens, sources, g, &n_files, err)) < 0)
            return rc;
    tokens->config.access = tokens->choice.access;
    return mix(tokens, weights, err);
}

int pst_tokens_open(struct pst_dataset **out, const struct pst_token_source *sources,
                    size_t n_sources, const struct pst_tokens_config *config, struct pst_error *err)
{
    PST_REQUIRE(out, err, "pst_tokens_open: out is NULL");
    *out = NULL;
    PST_REQUIRE(sources && config, err, "pst_tokens_open: sources or config is NULL");
    struct pst_tokens_config known;
    pst_tokens_config_init(&known);
    size_t size = config->struct_size < sizeof known ? config->struct_size : sizeof known;
    memcpy(&known, config, size);
    int rc = check_config(&known, n_sources, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n_sources; i++)
        PST_REQUIRE(sources[i].path && sources[i].group >= 0 &&
                        (size_t)sources[i].group < known.n_groups,
                    err, "file %zu of tokens has no path, or group %d of %zu", i, sources[i].group,
                    known.n_groups);
    struct tokens *tokens = pst__calloc(1, sizeof *tokens, PST_MEM_HEAP);
    if (!tokens)
        return pst__fail(err, PST_ENOMEM, "no memory for a dataset of tokens");
    tokens->config = known;
    tokens->config.weights = NULL;
    tokens->n_files = n_sources;
    if ((rc = set_up(tokens, sources, known.weights, err)) < 0 ||
        (rc = pst_dataset_new(out, &tokens_vtable, tokens, err)) < 0)
        tokens_close(tokens);
    return rc;
}

int pst_tokens_report(const struct pst_dataset *dataset, struct pst_tokens_report *report)
{
    const struct tokens *tokens = pst__dataset_self(dataset, tokens_close);
    if (!tokens || !report)
        return PST_EINVAL;
    struct pst_tokens_report full = {.struct_size = report->struct_size,
                                     .access = tokens->choice.access,
                                     .why = tokens->choice.why};
    for (size_t i = 0; i < tokens->n_files; i++) {
        const struct pst__token_file *file = &tokens->files[i];
        full.n_tokens += (int64_t)file->n_tokens;
        full.n_documents = file->n_documents < 0 || full.n_documents < 0
                               ? -1
                               : full.n_documents + file->n_documents;
        full.n_windows += (int64_t)file->windows.n;
        full.n_padded += (int64_t)file->windows.n_short;
        full.n_dropped += (int64_t)file->windows.n_without;
    }
    size_t size = report->struct_size;
    memcpy(report, &full, size < sizeof full ? size : sizeof full);
    return PST_OK;
}
