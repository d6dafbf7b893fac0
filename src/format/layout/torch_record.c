/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "base/status.h"
#include "format/layout/layout.h"
#include "format/layout/zip.h"

/* A file of torch.save(): a zip file whose member NAME/data.pkl says what there is, and whose
 * others, NAME/data/0 and so on, are the bytes of storages, stored as they are. The pickle is not
 * ours to read: who has read it knows where a storage begins. */

static const char pickle[] = "/data.pkl", order[] = "/byteorder";

/* Torch 2.1 and newer say in which order the bytes of elements are. */
static int check_order(const struct pst__zip *zip, const struct pst__reader *reader,
                       struct pst_error *err)
{
    static const char *const native = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? "little" : "big";
    char text[8] = {0};
    for (size_t i = 0; i < zip->n; i++) {
        const struct pst__zip_member *member = &zip->member[i];
        if (!pst__zip_ends(member, order))
            continue;
        if (!member->is_stored || member->bytes >= sizeof text)
            return pst__fail_at(err, PST_EFORMAT, (int64_t)member->offset,
                                "%s: expected a stored record that is \"little\" or \"big\"",
                                reader->shown);
        int rc = reader->read(reader->self, member->offset, (size_t)member->bytes, text, err);
        if (rc < 0)
            return rc;
        if (strcmp(text, native) != 0)
            return pst__fail_at(err, PST_EUNSUPPORTED, (int64_t)member->offset,
                                "%s: its elements are not %s-endian", reader->shown, native);
    }
    return PST_OK;
}

int pst__torch_record_check(const struct pst__layout *layout, const struct pst__reader *reader,
                            struct pst_error *err)
{
    struct pst__zip zip;
    int rc = pst__zip_read(&zip, reader, err);
    if (rc < 0)
        return rc;
    rc = check_order(&zip, reader, err);
    int is_found = 0;
    for (size_t i = 0; i < zip.n; i++)
        if (zip.member[i].offset == layout->offset && zip.member[i].is_stored &&
            zip.member[i].bytes >= layout->bytes)
            is_found = 1;
    pst__zip_reset(&zip);
    if (rc < 0 || is_found)
        return rc;
    return pst__fail_at(err, PST_EFORMAT, (int64_t)layout->offset,
                        "%s: expected a stored record of %" PRIu64 " bytes at byte %" PRIu64
                        " of the zip file",
                        reader->shown, layout->bytes, layout->offset);
}

int pst__zip_kind(enum pst_array_kind *kind, const struct pst__reader *reader,
                  struct pst_error *err)
{
    struct pst__zip zip;
    int rc = pst__zip_read(&zip, reader, err);
    *kind = PST_ARRAY_NPZ;
    for (size_t i = 0; i < zip.n; i++)
        if (pst__zip_ends(&zip.member[i], pickle))
            *kind = PST_ARRAY_TORCH;
    pst__zip_reset(&zip);
    return rc;
}
