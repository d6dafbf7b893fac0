/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/utf8.h"
#include "check.h"

static void names_and_texts(void)
{
    CHECK_STR(pst_status_name(PST_OK), "PST_OK");
    CHECK_STR(pst_status_name(PST_ECANCELED), "PST_ECANCELED");
    CHECK_STR(pst_status_text(PST_EIO), "input/output error");
    CHECK_STR(pst_status_name(12345), "PST_UNKNOWN");
    for (int status = -40; status < 40; status++)
        CHECK(pst_status_name(status) && pst_status_text(status)[0]);
}

static void first_error_wins(void)
{
    struct pst_error err = {0};
    CHECK_INT(pst__fail_at(&err, PST_EFORMAT, 7, "marker %02x, expected %02x", 0xd8, 0xff),
              PST_EFORMAT);
    CHECK_INT(pst__fail(&err, PST_EIO, "later"), PST_EIO);
    CHECK_INT(pst__fail_os(&err, EACCES, "later"), PST_EIO);
    CHECK_INT(err.status, PST_EFORMAT);
    CHECK_INT(err.offset, 7);
    CHECK_INT(err.record, -1);
    CHECK_INT(err.os_errno, 0);
    CHECK_STR(err.message, "marker d8, expected ff");
    pst_error_init(&err);
    CHECK_INT(err.status, 0);
    CHECK_INT(err.offset, -1);
    CHECK_STR(err.message, "");
    CHECK_INT(pst__fail(NULL, PST_EINVAL, "nobody listens"), PST_EINVAL);
    CHECK_INT(pst__fail_os(NULL, ENOMEM, "nobody listens"), PST_ENOMEM);
}

static void os_errors(void)
{
    struct pst_error err = {0};
    CHECK_INT(pst__fail_os(&err, ENOENT, "cannot open '%s'", "x"), PST_EIO);
    CHECK_INT(err.os_errno, ENOENT);
    CHECK_STR(err.message, "cannot open 'x': No such file or directory");
    pst_error_init(&err);
    CHECK_INT(pst__fail_os(&err, ENOMEM, "cannot map"), PST_ENOMEM);
    CHECK_INT(err.status, PST_ENOMEM);
    CHECK_INT(err.os_errno, 0);
}

/* A message of every length around the limit, cut within characters of 2, 3 and 4 bytes. */
static void long_messages_stay_utf8(void)
{
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x99\x82"};
    for (size_t c = 0; c < 3; c++)
        for (int pad = 500; pad < 516; pad++) {
            struct pst_error err = {0};
            char text[600];
            memset(text, 'a', sizeof text);
            text[pad] = 0;
            strcat(text, characters[c]);
            strcat(text, characters[c]);
            pst__fail(&err, PST_EIO, "%s", text);
            CHECK(strlen(err.message) < sizeof err.message);
            CHECK(strncmp(err.message, text, strlen(err.message)) == 0);
            for (const char *p = err.message; *p;) {
                size_t n = pst__utf8_length(p);
                CHECK(n > 0);
                p += n;
            }
        }
}

static void printable_names(void)
{
    char out[32];
    CHECK_STR(pst__printable(out, sizeof out, "plain/name.jpg"), "plain/name.jpg");
    CHECK_STR(pst__printable(out, sizeof out, "h\xc3\xa9.jpg"), "h\xc3\xa9.jpg");
    CHECK_STR(pst__printable(out, sizeof out, "a\xff\n\x7f\\"), "a\\xff\\x0a\\x7f\\x5c");
    CHECK_STR(pst__printable(out, sizeof out, ""), "");
    CHECK_STR(pst__printable(out, 14, "/a/very/long/path/end.jpg"), "...th/end.jpg");
}

/* What does not fit is cut at the front, between whole characters, within the buffer. */
static void printable_is_cut(void)
{
    for (size_t size = 8; size < 40; size++) {
        char out[48];
        memset(out, 'Z', sizeof out);
        pst__printable(out, size, "d/\xe2\x82\xac\xe2\x82\xac/\xff\xfe\xe2\x82\xac name.jpeg");
        CHECK(strlen(out) < size);
        CHECK(out[size] == 'Z');
        for (const char *p = out; *p; p += pst__utf8_length(p))
            CHECK(pst__utf8_length(p) > 0);
        if (size < 24)
            CHECK(strncmp(out, "...", 3) == 0);
        CHECK_STR(out + strlen(out) - 4, "jpeg");
    }
}

static void utf8(void)
{
    CHECK_INT(pst__utf8_length(""), 1);
    CHECK_INT(pst__utf8_length("a"), 1);
    CHECK_INT(pst__utf8_length("\xc3\xa9"), 2);
    CHECK_INT(pst__utf8_length("\xc0\x80"), 0);         /* too long for its code point */
    CHECK_INT(pst__utf8_length("\xed\xa0\x80"), 0);     /* a surrogate */
    CHECK_INT(pst__utf8_length("\xf4\x90\x80\x80"), 0); /* above U+10FFFF */
    CHECK_INT(pst__utf8_length("\xe2\x82"), 0);
    const char *text = "\xf0\x9f\x99\x82\xe2\x82\xacz\xff";
    CHECK_INT(pst__utf8_next(&text), 0x1f642);
    CHECK_INT(pst__utf8_next(&text), 0x20ac);
    CHECK_INT(pst__utf8_next(&text), 'z');
    CHECK_INT(pst__utf8_next(&text), 0xdcff);
    CHECK_INT(pst__utf8_next(&text), 0);
    CHECK_INT(pst__utf8_next(&text), 0);
    CHECK(pst__utf8_compare("a", "a") == 0);
    CHECK(pst__utf8_compare("a", "ab") < 0);
    /* U+DCFF (a stray byte) comes before U+E000 and after U+D7FF, unlike its bytes. */
    CHECK(pst__utf8_compare("\xff", "\xee\x80\x80") < 0);
    CHECK(pst__utf8_compare("\xff", "\xed\x9f\xbf") > 0);
    CHECK(pst__utf8_compare("\xff", "\xf0\x9f\x99\x82") < 0);
}

static void checked_bytes(void)
{
    static const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7};
    struct pst__bytes b = pst__bytes_over(data, sizeof data);
    CHECK_INT(pst__bytes_u8(&b), 1);
    CHECK_INT(pst__bytes_be16(&b), 0x0203);
    CHECK_INT(pst__bytes_be32(&b), 0x04050607);
    CHECK_INT(pst__bytes_left(&b), 0);
    CHECK(!b.over);
    CHECK_INT(pst__bytes_u8(&b), 0);
    CHECK(b.over);
    b = pst__bytes_over(data, sizeof data);
    CHECK(!pst__bytes_take(&b, SIZE_MAX));
    CHECK(b.over && !pst__bytes_take(&b, 1));
}

CHECK_MAIN(CASE(names_and_texts), CASE(first_error_wins), CASE(os_errors),
           CASE(long_messages_stay_utf8), CASE(printable_names), CASE(printable_is_cut), CASE(utf8),
           CASE(checked_bytes))
