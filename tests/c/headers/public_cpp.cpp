/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include <cstdio>
#include <cstring>

/* The declarations have C linkage: this links, and what comes back is the library's. */
int main()
{
    struct pst_error err;
    pst_error_init(&err);
    struct pst_loader *loader = 0;
    pst_loader_close(&loader);
    if (std::strcmp(pst_version(), PST_VERSION_STRING) != 0 || err.status != PST_OK) {
        std::fprintf(stderr, "library %s, headers %s\n", pst_version(), PST_VERSION_STRING);
        return 1;
    }
    return 0;
}
