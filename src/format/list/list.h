/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_FORMAT_LIST_H
#define PST_FORMAT_LIST_H

#include <penstock/dataset.h>

#include "format/strings.h"

/* The dataset of a list's bytes. shown: its name in messages. config->kind is not AUTO. */
int pst__list_parse(struct pst_dataset **out, const uint8_t *data, size_t size, const char *root,
                    const struct pst_list_config *config, const char *shown, struct pst_error *err);

#endif
