/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/dataset.h>

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "format/self.h"
#include "format/walk.h"
#include "io/file.h"

/* torchvision's IMG_EXTENSIONS, in its order: messages list them. */
#define EXTENSIONS ".jpg .jpeg .png .ppm .bmp .pgm .tif .tiff .webp"

#define SHOWN 320

/* Samples lie class by class, so that the label of one is found in the table of the classes'
 * beginnings and is not stored. */
struct folder {
    struct pst__strings classes, files;
    int64_t *first; /* of each class, and the number of files at the end */
};

static int64_t folder_length(void *self)
{
    return (int64_t)((struct folder *)self)->files.n;
}

static const char *folder_name(void *self, int64_t index)
{
    return pst__strings_at(&((struct folder *)self)->files, (size_t)index);
}

static int folder_read(void *self, int64_t index, struct pst_record *record, struct pst_error *err)
{
    return pst__file_read(folder_name(self, index), record, err);
}

/* The last class that begins at or before index: the classes between two equal beginnings are
 * empty. */
static int64_t folder_label(void *self, int64_t index)
{
    const struct folder *folder = self;
    size_t low = 0, high = folder->classes.n;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (folder->first[middle] <= index)
            low = middle;
        else
            high = middle;
    }
    return (int64_t)low;
}

static void folder_close(void *self)
{
    struct folder *folder = self;
    pst__free(folder->first);
    pst__strings_reset(&folder->files);
    pst__strings_reset(&folder->classes);
    pst__free(folder);
}

static const struct pst_dataset_vtable folder_vtable = {
    .struct_size = sizeof folder_vtable,
    .length = folder_length,
    .read = folder_read,
    .label = folder_label,
    .name = folder_name,
    .close = folder_close,
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
static int check_empty(const struct folder *folder, const struct pst__suffixes *suffixes,
                       struct pst_error *err)
{
    char classes[SHOWN] = "", extensions[128] = "";
    size_t n_empty = 0;
    for (size_t i = 0; i < folder->classes.n; i++)
        if (folder->first[i] == folder->first[i + 1]) {
            list_add(classes, sizeof classes, pst__strings_at(&folder->classes, i));
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

static int scan_classes(struct folder *folder, const char *root, struct pst_error *err)
{
    char shown[SHOWN];
    int rc = pst__walk_classes(root, &folder->classes, err);
    if (rc < 0)
        return rc;
    if (folder->classes.n == 0)
        return pst__fail(err, PST_ENOTFOUND, "Couldn't find any class folder in %s.",
                         pst__printable(shown, sizeof shown, root));
    folder->first = pst__calloc(folder->classes.n + 1, sizeof *folder->first, PST_MEM_HEAP);
    return folder->first ? PST_OK : PST_ENOMEM;
}

static int scan_files(struct folder *folder, const char *root, const struct pst__suffixes *suffixes,
                      struct pst_error *err)
{
    struct pst__walk walk = {0};
    struct pst__strings top = {0};
    int rc = PST_OK;
    for (size_t i = 0; rc == PST_OK && i < folder->classes.n; i++) {
        pst__strings_clear(&top);
        rc = pst__strings_add(&top, root, pst__strings_at(&folder->classes, i));
        if (rc == PST_OK)
            rc = pst__walk_files(&walk, pst__strings_at(&top, 0), suffixes, &folder->files, err);
        folder->first[i + 1] = (int64_t)folder->files.n;
    }
    pst__strings_reset(&top);
    pst__walk_reset(&walk);
    return rc;
}

static int check_config(const struct pst_folder_config *config, struct pst_error *err)
{
    PST_REQUIRE(!config || config->struct_size >= sizeof *config, err,
                "pst_folder_open: struct_size is %zu, at least %zu expected", config->struct_size,
                sizeof *config);
    return PST_OK;
}

int pst_folder_open(struct pst_dataset **out, const char *root,
                    const struct pst_folder_config *config, struct pst_error *err)
{
    struct pst__suffixes suffixes = {0};
    PST_REQUIRE(out, err, "pst_folder_open: out is NULL");
    *out = NULL;
    PST_REQUIRE(root, err, "pst_folder_open: root is NULL");
    int rc = check_config(config, err);
    if (rc < 0)
        return rc;
    struct folder *folder = pst__calloc(1, sizeof *folder, PST_MEM_HEAP);
    if (!folder)
        return pst__fail(err, PST_ENOMEM, "no memory for a folder dataset");
    rc = pst__suffixes_parse(&suffixes,
                             config && config->extensions ? config->extensions : EXTENSIONS);
    if (rc == PST_EINVAL)
        pst__fail(err, rc, "pst_folder_open: '%s' is no list of extensions", config->extensions);
    if (rc < 0 || (rc = scan_classes(folder, root, err)) < 0 ||
        (rc = scan_files(folder, root, &suffixes, err)) < 0 ||
        (!(config && config->allow_empty) && (rc = check_empty(folder, &suffixes, err)) < 0))
        goto fail;
    pst__strings_trim(&folder->files);
    if ((rc = pst_dataset_new(out, &folder_vtable, folder, err)) < 0)
        goto fail;
    pst__strings_reset(&suffixes.list);
    return PST_OK;
fail:
    folder_close(folder);
    pst__strings_reset(&suffixes.list);
    return pst__fail(err, rc, "pst_folder_open: %s", pst_status_text(rc));
}

int64_t pst_folder_n_classes(const struct pst_dataset *dataset)
{
    const struct folder *folder = pst__dataset_self(dataset, folder_close);
    return folder ? (int64_t)folder->classes.n : 0;
}

const char *pst_folder_class(const struct pst_dataset *dataset, int64_t class_index)
{
    const struct folder *folder = pst__dataset_self(dataset, folder_close);
    if (!folder || class_index < 0 || class_index >= (int64_t)folder->classes.n)
        return NULL;
    return pst__strings_at(&folder->classes, (size_t)class_index);
}
