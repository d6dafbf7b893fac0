/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/dataset.h>

#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "format/folder/index_file.h"
#include "format/folder/interned.h"
#include "format/self.h"
#include "format/folder/walk.h"
#include "io/file.h"

/* torchvision's IMG_EXTENSIONS, in its order: messages list them. */
#define EXTENSIONS ".jpg .jpeg .png .ppm .bmp .pgm .tif .tiff .webp"

#define SHOWN 320

struct folder {
    struct pst__tree tree;
    struct pst__interned names; /* whole paths that were asked for */
    char *root, *suffixes;      /* of the key; root NULL: not known to be absolute */
    struct pst_folder_report report;
    char path[PST_MAX_PATH];
    struct pst_error damage, not_written;
};

static int64_t folder_length(void *self)
{
    return ((struct folder *)self)->tree.n_samples;
}

static int64_t folder_copy_name(void *self, int64_t index, char *out, size_t size)
{
    const struct pst__tree *tree = &((struct folder *)self)->tree;
    size_t at = pst__tree_folder_of(tree, index);
    return (int64_t)pst__tree_path(tree, at, pst__tree_name(tree, at, index), out, size);
}

static const char *folder_name(void *self, int64_t index)
{
    struct folder *folder = self;
    char path[PST_MAX_PATH];
    const char *name = pst__interned_find(&folder->names, index);
    if (name)
        return name;
    folder_copy_name(self, index, path, sizeof path);
    return pst__interned_add(&folder->names, index, path);
}

static int folder_read(void *self, int64_t index, struct pst_record *record, struct pst_error *err)
{
    char path[PST_MAX_PATH];
    folder_copy_name(self, index, path, sizeof path);
    return pst__file_read(path, record, err);
}

static int64_t folder_label(void *self, int64_t index)
{
    const struct pst__tree *tree = &((struct folder *)self)->tree;
    return tree->folder[pst__tree_folder_of(tree, index)].class_index;
}

static void folder_close(void *self)
{
    struct folder *folder = self;
    pst__interned_reset(&folder->names);
    pst__tree_reset(&folder->tree);
    pst__free(folder->suffixes);
    pst__free(folder->root);
    pst__free(folder);
}

static const struct pst_dataset_vtable folder_vtable = {
    .struct_size = sizeof folder_vtable,
    .length = folder_length,
    .read = folder_read,
    .label = folder_label,
    .name = folder_name,
    .close = folder_close,
    .copy_name = folder_copy_name,
};

/* A comma-separated list in a message, cut at its end. */
static void list_add(char *text, size_t size, const char *name)
{
    char shown[SHOWN];
    size_t used = strlen(text);
    pst__printable(shown, sizeof shown, name);
    if (used + strlen(", ") + strlen(shown) + sizeof ", ..." <= size) {
        if (used > 0)
            strcat(text, ", ");
        strcat(text, shown);
    } else if (used < 3 || strcmp(text + used - 3, "...") != 0) {
        strcat(text, used > 0 ? ", ..." : "...");
    }
}

/* torchvision's sentence. */
static int check_empty(const struct pst__tree *tree, const struct pst__suffixes *suffixes,
                       struct pst_error *err)
{
    char classes[SHOWN] = "", extensions[128] = "";
    size_t n_empty = 0;
    for (size_t i = 0; i < tree->n_classes; i++)
        if (pst__tree_class_size(tree, i) == 0) {
            list_add(classes, sizeof classes, pst__tree_own_name(tree, tree->class_folder[i]));
            n_empty++;
        }
    if (n_empty == 0)
        return PST_OK;
    for (size_t i = 0; i < suffixes->list.n; i++)
        list_add(extensions, sizeof extensions, pst__strings_at(&suffixes->list, i));
    return pst__fail(err, PST_ENOTFOUND,
                     "Found no valid file for the classes %s. Supported extensions are: %s",
                     classes, extensions);
}

static char *copy_text(const char *text, size_t size)
{
    char *copy = pst__alloc(size, PST_MEM_HEAP);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

/* The key's root: absolute. Where the working directory has no name there is no index. */
static int set_root(struct folder *folder, const char *root)
{
    char path[2 * PST_MAX_PATH] = "";
    if (root[0] != '/') {
        if (pst__sys_getcwd(path, PST_MAX_PATH) < 0)
            return PST_OK;
        strcat(path, "/");
    }
    if (strlen(path) + strlen(root) >= PST_MAX_PATH)
        return PST_OK;
    strcat(path, root);
    folder->root = copy_text(path, strlen(path) + 1);
    return folder->root ? PST_OK : PST_ENOMEM;
}

/* The suffixes with one space between them. */
static int set_suffixes(struct folder *folder, const struct pst__suffixes *suffixes)
{
    size_t size = suffixes->list.used;
    folder->suffixes = copy_text(suffixes->list.bytes, size);
    if (!folder->suffixes)
        return PST_ENOMEM;
    for (size_t i = 0; i + 1 < size; i++)
        if (folder->suffixes[i] == 0)
            folder->suffixes[i] = ' ';
    return PST_OK;
}

static struct pst__index_key key_of(const struct folder *folder)
{
    return (struct pst__index_key){folder->root, folder->suffixes, (uint64_t)geteuid()};
}

/* The tree of an index is the key's: absolute. The user's own spelling of the root goes into it. */
static int rename_root(struct pst__tree *tree, const char *root)
{
    char *copy = copy_text(root, strlen(root) + 1);
    if (!copy)
        return PST_ENOMEM;
    pst__free(tree->root);
    tree->root = copy;
    return PST_OK;
}

/* What the index knows; an empty tree where that is nothing. */
static int load(struct folder *folder, struct pst__index_file *file, const char *root,
                struct pst__tree *known)
{
    const struct pst__index_key key = key_of(folder);
    int rc = pst__index_file_load(file, &key, known, &folder->damage);
    if (rc == PST_END)
        folder->report.index = PST_FOLDER_INDEX_NEW;
    else if (rc < 0 && rc != PST_ENOMEM)
        folder->report.index = PST_FOLDER_INDEX_REBUILT;
    else if (rc == PST_OK)
        rc = rename_root(known, root);
    return rc == PST_ENOMEM ? rc : PST_OK;
}

static void save(struct folder *folder, struct pst__index_file *file)
{
    const struct pst__index_key key = key_of(folder);
    int rc = pst__index_file_save(file, &key, &folder->tree, &folder->not_written);
    folder->report.written = rc == PST_OK;
    if (rc == PST_AGAIN)
        pst__fail(&folder->not_written, PST_EIO, "another process is writing the index");
}

static int scan(struct folder *folder, const char *root, const struct pst__suffixes *suffixes,
                const struct pst__tree *known, struct pst_error *err)
{
    char shown[SHOWN];
    int rc = pst__walk(&folder->tree, root, suffixes, known, &folder->report.listed, err);
    if (rc == PST_OK && folder->tree.n_classes == 0)
        rc = pst__fail(err, PST_ENOTFOUND, "Couldn't find any class folder in %s.",
                       pst__printable(shown, sizeof shown, root));
    return rc;
}

static int scan_with_index(struct folder *folder, struct pst__index_file *file, const char *root,
                           const struct pst__suffixes *suffixes, struct pst_error *err)
{
    struct pst__tree known;
    int rc = load(folder, file, root, &known);
    if (rc < 0) {
        pst__tree_reset(&known);
        return rc;
    }
    if (known.n_folders > 0 && pst__walk_is_current(&known)) {
        folder->tree = known;
        folder->report.index = PST_FOLDER_INDEX_KEPT;
        folder->report.written = 1;
        return PST_OK;
    }
    if (known.n_folders > 0)
        folder->report.index = PST_FOLDER_INDEX_CHANGED;
    rc = scan(folder, root, suffixes, known.n_folders > 0 ? &known : NULL, err);
    pst__tree_reset(&known);
    if (rc == PST_OK)
        save(folder, file);
    return rc;
}

static int fill(struct folder *folder, const char *root, const struct pst__suffixes *suffixes,
                const char *index, struct pst_error *err)
{
    struct pst__index_file *file;
    int rc = set_root(folder, root);
    if (rc == PST_OK)
        rc = set_suffixes(folder, suffixes);
    if (rc < 0)
        return rc;
    if (!index || !folder->root)
        return scan(folder, root, suffixes, NULL, err);
    const struct pst__index_key key = key_of(folder);
    file = pst__alloc(sizeof *file, PST_MEM_HEAP);
    if (!file)
        return PST_ENOMEM;
    rc = pst__index_file_place(file, index, &key);
    if (rc == PST_OK && file->path[0]) {
        memcpy(folder->path, file->path, sizeof folder->path);
        rc = scan_with_index(folder, file, root, suffixes, err);
    } else {
        pst__fail(&folder->not_written, PST_ELIMIT, "there is no place for the index: %s",
                  rc < 0 ? "its path is too long" : "no folder for caches is set");
        rc = scan(folder, root, suffixes, NULL, err);
    }
    pst__free(file);
    return rc;
}

static int check_config(const struct pst_folder_config *config, struct pst_error *err)
{
    size_t required = offsetof(struct pst_folder_config, index);
    PST_REQUIRE(!config || config->struct_size >= required, err,
                "pst_folder_open: struct_size is %zu, at least %zu expected", config->struct_size,
                required);
    return PST_OK;
}

/* A caller built against another release knows fewer or more members. */
static struct pst_folder_config config_of(const struct pst_folder_config *given)
{
    struct pst_folder_config config;
    pst_folder_config_init(&config);
    if (given)
        memcpy(&config, given,
               given->struct_size < sizeof config ? given->struct_size : sizeof config);
    return config;
}

static struct folder *new_folder(struct pst_error *err)
{
    struct folder *folder = pst__calloc(1, sizeof *folder, PST_MEM_HEAP);
    if (!folder) {
        pst__fail(err, PST_ENOMEM, "no memory for a folder dataset");
        return NULL;
    }
    pst_error_init(&folder->damage);
    pst_error_init(&folder->not_written);
    return folder;
}

int pst_folder_open(struct pst_dataset **out, const char *root,
                    const struct pst_folder_config *given, struct pst_error *err)
{
    struct pst__suffixes suffixes = {0};
    PST_REQUIRE(out, err, "pst_folder_open: out is NULL");
    *out = NULL;
    PST_REQUIRE(root, err, "pst_folder_open: root is NULL");
    int rc = check_config(given, err);
    if (rc < 0)
        return rc;
    struct pst_folder_config config = config_of(given);
    struct folder *folder = new_folder(err);
    if (!folder)
        return PST_ENOMEM;
    rc = pst__suffixes_parse(&suffixes, config.extensions ? config.extensions : EXTENSIONS);
    if (rc == PST_EINVAL)
        pst__fail(err, rc, "pst_folder_open: '%s' is no list of extensions", config.extensions);
    if (rc < 0 || (rc = fill(folder, root, &suffixes, config.index, err)) < 0 ||
        (!config.allow_empty && (rc = check_empty(&folder->tree, &suffixes, err)) < 0) ||
        (rc = pst_dataset_new(out, &folder_vtable, folder, err)) < 0)
        folder_close(folder);
    pst__strings_reset(&suffixes.list);
    return rc < 0 ? pst__fail(err, rc, "pst_folder_open: %s", pst_status_text(rc)) : PST_OK;
}

int64_t pst_folder_n_classes(const struct pst_dataset *dataset)
{
    const struct folder *folder = pst__dataset_self(dataset, folder_close);
    return folder ? (int64_t)folder->tree.n_classes : 0;
}

const char *pst_folder_class(const struct pst_dataset *dataset, int64_t class_index)
{
    const struct folder *folder = pst__dataset_self(dataset, folder_close);
    if (!folder || class_index < 0 || class_index >= (int64_t)folder->tree.n_classes)
        return NULL;
    return pst__tree_own_name(&folder->tree, folder->tree.class_folder[class_index]);
}

int pst_folder_report(const struct pst_dataset *dataset, struct pst_folder_report *report)
{
    const struct folder *folder = pst__dataset_self(dataset, folder_close);
    if (!folder || !report || report->struct_size < offsetof(struct pst_folder_report, written))
        return PST_EINVAL;
    struct pst_folder_report full = folder->report;
    size_t size = report->struct_size < sizeof full ? report->struct_size : sizeof full;
    full.struct_size = report->struct_size;
    full.folders = (int64_t)folder->tree.n_folders;
    full.path = folder->path;
    full.damage = folder->damage.message;
    full.not_written = folder->not_written.message;
    memcpy(report, &full, size);
    return PST_OK;
}

int64_t pst_folder_save(const struct pst_dataset *dataset, void *out, size_t size,
                        struct pst_error *err)
{
    const struct folder *folder = pst__dataset_self(dataset, folder_close);
    struct pst__index index;
    PST_REQUIRE(folder && (out || size == 0), err, "pst_folder_save: no folder, or out is NULL");
    PST_REQUIRE(folder->root, err, "pst_folder_save: the working directory has no name");
    const struct pst__index_key key = key_of(folder);
    if (pst__index_encode(&index, &folder->tree, &key) < 0)
        return pst__fail(err, PST_ENOMEM, "no memory to save a folder");
    uint64_t total = pst__index_size(&index);
    if (total <= size) {
        uint8_t *to = out;
        for (int i = 0; i < PST__INDEX_PIECES; i++) {
            memcpy(to, index.piece[i].data, index.piece[i].size);
            to += index.piece[i].size;
        }
    }
    pst__index_reset(&index);
    return (int64_t)total;
}

struct view {
    const uint8_t *bytes;
};

static int read_view(void *self, uint64_t offset, void *out, size_t n, struct pst_error *err)
{
    (void)err;
    memcpy(out, ((struct view *)self)->bytes + offset, n);
    return PST_OK;
}

int pst_folder_restore(struct pst_dataset **out, const void *bytes, size_t size,
                       struct pst_error *err)
{
    PST_REQUIRE(out, err, "pst_folder_restore: out is NULL");
    *out = NULL;
    PST_REQUIRE(bytes, err, "pst_folder_restore: bytes is NULL");
    struct view view = {bytes};
    struct pst__index_source source = {read_view, &view, size};
    struct folder *folder = new_folder(err);
    if (!folder)
        return PST_ENOMEM;
    int rc = pst__index_decode(&folder->tree, &source, NULL, NULL, err);
    if (rc == PST_OK) {
        folder->root = copy_text(folder->tree.root, strlen(folder->tree.root) + 1);
        folder->suffixes = copy_text("", 1);
        rc = folder->root && folder->suffixes ? PST_OK : PST_ENOMEM;
    }
    if (rc == PST_OK)
        rc = pst_dataset_new(out, &folder_vtable, folder, err);
    if (rc < 0)
        folder_close(folder);
    return rc < 0 ? pst__fail(err, rc, "no memory for a folder dataset") : PST_OK;
}
