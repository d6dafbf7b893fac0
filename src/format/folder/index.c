/* SPDX-License-Identifier: Apache-2.0 */
#include "format/folder/index.h"

#include <inttypes.h>
#include <string.h>

#include <xxhash.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"

#define VERSION 1
#define FOLDER_SIZE 72
#define HASHED 120 /* bytes of the header in front of its own hash */

/* Above them a count is damage; what is allocated is bounded by the size of the file anyway. */
#define MAX_FOLDERS (1u << 28)
#define MAX_SAMPLES (INT64_C(1) << 40)

static const uint8_t magic[8] = {'P', 'S', 'T', 'I', 'D', 'X', '\r', '\n'};

enum { KEY, FOLDERS, OWN_NAMES, NAMES, N_SECTIONS };

static const char *const section_names[N_SECTIONS] = {"key", "folders", "folders' names",
                                                      "files' names"};

struct layout {
    uint64_t n_folders, n_samples, user;
    uint64_t size[N_SECTIONS], hash[N_SECTIONS], at[N_SECTIONS];
};

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)v);
    put32(p + 4, (uint32_t)(v >> 32));
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

int pst__index_is_ours(const uint8_t *bytes, size_t n)
{
    return n >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

static void put_folder(uint8_t *p, const struct pst__tree_folder *folder)
{
    put64(p, folder->id.dev);
    put64(p + 8, folder->id.ino);
    put64(p + 16, folder->id.size);
    put64(p + 24, folder->id.nlink);
    put64(p + 32, (uint64_t)folder->id.mtime_ns);
    put64(p + 40, (uint64_t)folder->id.ctime_ns);
    put32(p + 48, folder->parent);
    put32(p + 52, folder->flags);
    put64(p + 56, (uint64_t)(folder[1].first - folder->first));
    put64(p + 64, folder[1].names - folder->names);
}

static void put_header(struct pst__index *index, const struct pst__tree *tree, uint64_t user)
{
    uint8_t *p = index->header;
    memcpy(p, magic, sizeof magic);
    put32(p + 8, VERSION);
    put32(p + 12, PST__INDEX_HEADER);
    put64(p + 16, tree->n_folders);
    put64(p + 24, (uint64_t)tree->n_samples);
    put64(p + 32, user);
    for (int i = 0; i < N_SECTIONS; i++) {
        const struct pst__piece *piece = &index->piece[1 + i];
        put64(p + 40 + 16 * i, piece->size);
        put64(p + 48 + 16 * i, XXH64(piece->data, piece->size, 0));
    }
    put64(p + HASHED, XXH64(p, HASHED, 0));
}

int pst__index_encode(struct pst__index *index, const struct pst__tree *tree,
                      const struct pst__index_key *key)
{
    size_t n_root = strlen(key->root) + 1, n_suffixes = strlen(key->suffixes) + 1;
    *index = (struct pst__index){0};
    index->key = pst__alloc(n_root + n_suffixes, PST_MEM_HEAP);
    index->folders = pst__calloc(tree->n_folders, FOLDER_SIZE, PST_MEM_HEAP);
    if (!index->key || !index->folders) {
        pst__index_reset(index);
        return PST_ENOMEM;
    }
    memcpy(index->key, key->root, n_root);
    memcpy(index->key + n_root, key->suffixes, n_suffixes);
    for (size_t i = 0; i < tree->n_folders; i++)
        put_folder(index->folders + i * FOLDER_SIZE, &tree->folder[i]);
    index->piece[0] = (struct pst__piece){index->header, PST__INDEX_HEADER};
    index->piece[1 + KEY] = (struct pst__piece){index->key, n_root + n_suffixes};
    index->piece[1 + FOLDERS] = (struct pst__piece){index->folders, tree->n_folders * FOLDER_SIZE};
    index->piece[1 + OWN_NAMES] = (struct pst__piece){tree->own_names, tree->own_names_size};
    index->piece[1 + NAMES] = (struct pst__piece){tree->names, tree->names_size};
    put_header(index, tree, key->user);
    return PST_OK;
}

void pst__index_reset(struct pst__index *index)
{
    pst__free(index->folders);
    pst__free(index->key);
    *index = (struct pst__index){0};
}

uint64_t pst__index_size(const struct pst__index *index)
{
    uint64_t size = 0;
    for (int i = 0; i < PST__INDEX_PIECES; i++)
        size += index->piece[i].size;
    return size;
}

static int bad(struct pst_error *err, uint64_t offset, const char *what)
{
    return pst__fail_at(err, PST_EFORMAT, (int64_t)offset, "the index is damaged: %s", what);
}

static int check_sizes(struct layout *layout, const struct pst__index_source *source,
                       struct pst_error *err)
{
    uint64_t end = PST__INDEX_HEADER;
    if (layout->n_folders < 1 || layout->n_folders > MAX_FOLDERS)
        return pst__fail_at(err, PST_ELIMIT, 16, "the index has %" PRIu64 " folders",
                            layout->n_folders);
    if (layout->n_samples > MAX_SAMPLES)
        return pst__fail_at(err, PST_ELIMIT, 24, "the index has %" PRIu64 " files",
                            layout->n_samples);
    for (int i = 0; i < N_SECTIONS; i++) {
        if (layout->size[i] > source->size || end > source->size - layout->size[i])
            return pst__fail_at(err, PST_ETRUNCATED, 40 + 16 * i,
                                "the index has %" PRIu64 " bytes, its %s would end behind them",
                                source->size, section_names[i]);
        layout->at[i] = end;
        end += layout->size[i];
    }
    if (end != source->size)
        return pst__fail_at(err, PST_EFORMAT, (int64_t)end,
                            "the index has %" PRIu64 " bytes behind its end", source->size - end);
    if (layout->size[FOLDERS] != layout->n_folders * FOLDER_SIZE)
        return bad(err, 56, "the size of its table of folders");
    /* Each name has a byte and its NUL; the root's has no byte. */
    if (layout->n_samples > layout->size[NAMES] / 2 ||
        layout->n_folders > (layout->size[OWN_NAMES] + 1) / 2)
        return bad(err, 24, "more names than fit");
    return PST_OK;
}

static int read_header(struct layout *layout, const struct pst__index_source *source,
                       uint8_t *header, struct pst_error *err)
{
    if (source->size < PST__INDEX_HEADER)
        return pst__fail_at(err, PST_ETRUNCATED, (int64_t)source->size,
                            "the index has %" PRIu64 " bytes, its header alone has %d",
                            source->size, PST__INDEX_HEADER);
    int rc = source->read(source->self, 0, header, PST__INDEX_HEADER, err);
    if (rc < 0)
        return rc;
    if (!pst__index_is_ours(header, PST__INDEX_HEADER))
        return bad(err, 0, "it does not begin like one");
    if (get32(header + 8) != VERSION)
        return pst__fail_at(err, PST_EUNSUPPORTED, 8, "the index is of version %" PRIu32 ", not %d",
                            get32(header + 8), VERSION);
    if (get64(header + HASHED) != XXH64(header, HASHED, 0))
        return bad(err, HASHED, "the hash of its header");
    if (get32(header + 12) != PST__INDEX_HEADER)
        return bad(err, 12, "the size of its header");
    for (int i = 40 + 16 * N_SECTIONS; i < HASHED; i++)
        if (header[i] != 0)
            return bad(err, (uint64_t)i, "a byte of its header that has no meaning is set");
    layout->n_folders = get64(header + 16);
    layout->n_samples = get64(header + 24);
    layout->user = get64(header + 32);
    for (int i = 0; i < N_SECTIONS; i++) {
        layout->size[i] = get64(header + 40 + 16 * i);
        layout->hash[i] = get64(header + 48 + 16 * i);
    }
    return check_sizes(layout, source, err);
}

/* A section with a NUL behind it, hash checked. *out stays the caller's. */
static int read_section(const struct layout *layout, int section,
                        const struct pst__index_source *source, void *out_pointer,
                        struct pst_error *err)
{
    size_t size = (size_t)layout->size[section];
    uint8_t *bytes = pst__alloc(size + 1, PST_MEM_HEAP);
    memcpy(out_pointer, &bytes, sizeof bytes);
    if (!bytes)
        return pst__fail(err, PST_ENOMEM, "no memory for an index of %" PRIu64 " bytes",
                         source->size);
    int rc = size > 0 ? source->read(source->self, layout->at[section], bytes, size, err) : PST_OK;
    if (rc < 0)
        return rc;
    bytes[size] = 0;
    if (XXH64(bytes, size, 0) != layout->hash[section])
        return pst__fail_at(err, PST_EFORMAT, (int64_t)layout->at[section],
                            "the index is damaged: the hash of its %s", section_names[section]);
    return PST_OK;
}

/* The key's two strings; key, if any, must be it. */
static int check_key(const struct layout *layout, const char *bytes,
                     const struct pst__index_key *key, struct pst_error *err)
{
    size_t size = (size_t)layout->size[KEY], n_root = strlen(bytes) + 1;
    if (n_root >= size || n_root > PST_MAX_PATH || bytes[0] != '/' ||
        n_root + strlen(bytes + n_root) + 1 != size)
        return bad(err, layout->at[KEY], "its key");
    if (key && (strcmp(key->root, bytes) != 0 || strcmp(key->suffixes, bytes + n_root) != 0 ||
                key->user != layout->user))
        return pst__fail(err, PST_ENOTFOUND, "the index is of another folder, or of another user");
    return PST_OK;
}

static int is_name(const char *name)
{
    return name[0] != 0 && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* One folder without its samples; *at moves on in the folders' names. */
static int add_folder(struct pst__tree *tree, const uint8_t *record, const char *own_names,
                      size_t size, size_t *at)
{
    const char *name = own_names + *at;
    uint32_t n = (uint32_t)tree->n_folders, parent = get32(record + 48), flags = get32(record + 52);
    struct pst__folder_id id = {
        .dev = get64(record),
        .ino = get64(record + 8),
        .size = get64(record + 16),
        .nlink = get64(record + 24),
        .mtime_ns = (int64_t)get64(record + 32),
        .ctime_ns = (int64_t)get64(record + 40),
    };
    /* The section has a NUL behind it, so that a name that is not ended ends there. */
    size_t length = *at < size ? strlen(name) : size;
    if (length >= size - *at || (flags & ~(uint32_t)PST__FOLDER_FLAGS))
        return PST_EFORMAT;
    if (n == 0 ? length > 0 || parent > 0 : parent >= n || !is_name(name))
        return PST_EFORMAT;
    /* A folder lies behind its class. */
    if (parent > 0 && tree->folder[parent].class_index + 1 != tree->n_classes)
        return PST_EFORMAT;
    *at += length + 1;
    return pst__tree_add_folder(tree, parent, name, &id, flags);
}

/* The names of one folder's samples, which lie in the tree already: where each begins. */
static int add_starts(struct pst__tree *tree, const uint8_t *record, uint64_t names_size)
{
    uint64_t n = get64(record + 56), size = get64(record + 64);
    const struct pst__tree_folder *last = &tree->folder[tree->n_folders - 1];
    size_t room = strlen(tree->root) + last->path_size + 2;
    if (size > names_size - tree->names_size || n > size / 2 || size > UINT32_MAX ||
        (tree->n_folders == 1 && n > 0) || n > tree->starts_room - (uint64_t)tree->n_samples)
        return PST_EFORMAT;
    const char *names = tree->names + tree->names_size, *p = names, *end = names + size;
    if (memchr(names, '/', (size_t)size))
        return PST_EFORMAT;
    uint32_t *start = tree->starts + tree->n_samples;
    for (uint64_t i = 0; i < n; i++) {
        const char *nul = p < end ? memchr(p, 0, (size_t)(end - p)) : NULL;
        if (!nul || nul == p || room + (size_t)(nul - p) + 1 > PST_MAX_PATH)
            return PST_EFORMAT;
        start[i] = (uint32_t)(p - names);
        p = nul + 1;
    }
    if (p != end)
        return PST_EFORMAT;
    tree->n_samples += (int64_t)n;
    tree->names_size += (size_t)size;
    tree->folder[tree->n_folders].first = tree->n_samples;
    tree->folder[tree->n_folders].names = tree->names_size;
    return PST_OK;
}

/* The tree of sections that are read; tree->names is one of them. */
static int build(struct pst__tree *tree, const struct layout *layout, const uint8_t *folders,
                 const char *own_names, struct pst_error *err)
{
    size_t at = 0, own_size = (size_t)layout->size[OWN_NAMES];
    tree->names_room = (size_t)layout->size[NAMES];
    tree->starts_room = (size_t)layout->n_samples;
    tree->starts = pst__calloc(tree->starts_room, sizeof *tree->starts, PST_MEM_HEAP);
    if (!tree->starts)
        return pst__fail(err, PST_ENOMEM, "no memory for %" PRIu64 " samples", layout->n_samples);
    for (uint64_t i = 0; i < layout->n_folders; i++) {
        const uint8_t *record = folders + i * FOLDER_SIZE;
        int rc = add_folder(tree, record, own_names, own_size, &at);
        if (rc == PST_OK)
            rc = add_starts(tree, record, layout->size[NAMES]);
        if (rc == PST_ENOMEM)
            return pst__fail(err, rc, "no memory for %" PRIu64 " folders", layout->n_folders);
        if (rc < 0)
            return pst__fail_at(err, rc, (int64_t)(layout->at[FOLDERS] + i * FOLDER_SIZE),
                                "the index is damaged: its folder %" PRIu64, i);
    }
    if (at != own_size || tree->names_size != layout->size[NAMES] ||
        tree->n_samples != (int64_t)layout->n_samples)
        return bad(err, layout->at[OWN_NAMES], "names that belong to no folder");
    return PST_OK;
}

int pst__index_decode(struct pst__tree *tree, const struct pst__index_source *source,
                      const struct pst__index_key *key, uint8_t *header_out, struct pst_error *err)
{
    struct layout layout;
    uint8_t header[PST__INDEX_HEADER], *folders = NULL;
    char *key_bytes = NULL, *own_names = NULL;
    *tree = (struct pst__tree){0};
    int rc = read_header(&layout, source, header, err);
    if (rc < 0)
        return rc;
    if ((rc = read_section(&layout, KEY, source, &key_bytes, err)) < 0 ||
        (rc = check_key(&layout, key_bytes, key, err)) < 0 ||
        (rc = read_section(&layout, FOLDERS, source, &folders, err)) < 0 ||
        (rc = read_section(&layout, OWN_NAMES, source, &own_names, err)) < 0)
        goto done;
    if ((rc = pst__tree_init(tree, key_bytes)) < 0) {
        pst__fail(err, rc, "no memory for an index");
        goto done;
    }
    if ((rc = read_section(&layout, NAMES, source, &tree->names, err)) == PST_OK)
        rc = build(tree, &layout, folders, own_names, err);
    if (rc == PST_OK && header_out)
        memcpy(header_out, header, sizeof header);
done:
    if (rc < 0)
        pst__tree_reset(tree);
    pst__free(own_names);
    pst__free(folders);
    pst__free(key_bytes);
    return rc;
}
