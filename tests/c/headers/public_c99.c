/* SPDX-License-Identifier: Apache-2.0 */
#include <penstock/penstock.h>

#include "check.h"

static void test_library_and_headers_agree(void)
{
    CHECK_STR(pst_version(), PST_VERSION_STRING);
}

static void test_every_status_has_a_name_and_a_text(void)
{
#define CHECK_STATUS(name, value, exception, text)                                                 \
    CHECK_INT(PST_##name, value);                                                                  \
    CHECK_STR(pst_status_name(value), "PST_" #name);                                               \
    CHECK_STR(pst_status_text(value), text);
    PST_STATUS_MAP(CHECK_STATUS)
#undef CHECK_STATUS
    CHECK(pst_status_name(12345) != NULL);
    CHECK(pst_status_text(-12345) != NULL);
}

static void test_an_error_starts_empty(void)
{
    struct pst_error err;
    memset(&err, 0x5a, sizeof err);
    pst_error_init(&err);
    CHECK_INT(err.status, PST_OK);
    CHECK_INT(err.os_errno, 0);
    CHECK_INT(err.record, -1);
    CHECK_INT(err.offset, -1);
    CHECK_STR(err.message, "");
}

static void test_the_build_describes_itself(void)
{
    CHECK(strlen(pst_kernels_name()) > 0);
    CHECK(strlen(pst_build_info()) > 0);
    CHECK(pst_cpu_count() >= 1);
}

CHECK_MAIN(CASE(test_library_and_headers_agree), CASE(test_every_status_has_a_name_and_a_text),
           CASE(test_an_error_starts_empty), CASE(test_the_build_describes_itself))
