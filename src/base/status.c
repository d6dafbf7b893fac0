/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

const char *pst_status_name(int status)
{
    switch (status) {
#define PST_STATUS_NAME(name, value, exception, text)                                              \
    case value:                                                                                    \
        return "PST_" #name;
        PST_STATUS_MAP(PST_STATUS_NAME)
#undef PST_STATUS_NAME
    default:
        return "PST_UNKNOWN";
    }
}

const char *pst_status_text(int status)
{
    switch (status) {
#define PST_STATUS_TEXT(name, value, exception, text)                                              \
    case value:                                                                                    \
        return text;
        PST_STATUS_MAP(PST_STATUS_TEXT)
#undef PST_STATUS_TEXT
    default:
        return "unknown status";
    }
}

void pst_error_init(struct pst_error *err)
{
    *err = (struct pst_error){.record = -1, .offset = -1};
}

/* The first character of text, made printable; returns its bytes in text, which is not empty. */
static size_t printable_char(char out[5], const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = pst__utf8_length(text);
    if (n == 0 || p[0] < 0x20 || p[0] == 0x7f || p[0] == '\\') {
        snprintf(out, 5, "\\x%02x", p[0]);
        return 1;
    }
    memcpy(out, p, n);
    out[n] = 0;
    return n;
}

const char *pst__printable(char *out, size_t size, const char *text)
{
    static const char dots[] = "...";
    size_t total = 0, skip = 0, room = size - 1, used = 0;
    char one[5];
    for (const char *p = text; *p; p += printable_char(one, p), total += strlen(one))
        ;
    if (total > room && room > sizeof dots - 1) {
        skip = total - (room - (sizeof dots - 1));
        memcpy(out, dots, sizeof dots - 1);
        used = sizeof dots - 1;
    }
    size_t at = 0;
    for (const char *p = text; *p; at += strlen(one)) {
        p += printable_char(one, p);
        size_t n = strlen(one);
        if (at < skip || used + n > room)
            continue;
        memcpy(out + used, one, n);
        used += n;
    }
    out[used] = 0;
    return out;
}

/* A message that was cut must not end within a UTF-8 character. */
static void trim_cut(char *message, size_t length)
{
    size_t end = length;
    while (end > 0 && length - end < 4 && ((unsigned char)message[end - 1] & 0xc0) == 0x80)
        end--;
    if (end > 0 && (unsigned char)message[end - 1] >= 0xc0 &&
        pst__utf8_length(message + end - 1) != length - (end - 1))
        message[end - 1] = 0;
}

static int PST_PRINTF(4, 0)
    fail(struct pst_error *err, int status, int64_t offset, const char *fmt, va_list ap)
{
    if (!err || err->status < 0)
        return status;
    pst_error_init(err);
    err->status = status;
    err->offset = offset;
    int n = vsnprintf(err->message, sizeof err->message, fmt, ap);
    if (n >= (int)sizeof err->message)
        trim_cut(err->message, sizeof err->message - 1);
    return status;
}

int pst__fail(struct pst_error *err, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail(err, status, -1, fmt, ap);
    va_end(ap);
    return status;
}

int pst__fail_at(struct pst_error *err, int status, int64_t offset, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail(err, status, offset, fmt, ap);
    va_end(ap);
    return status;
}

int pst__fail_os(struct pst_error *err, int os_errno, const char *fmt, ...)
{
    int status = os_errno == ENOMEM ? PST_ENOMEM : PST_EIO;
    if (!err || err->status < 0)
        return status;
    va_list ap;
    va_start(ap, fmt);
    fail(err, status, -1, fmt, ap);
    va_end(ap);
    char text[128];
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, ": %s",
             strerror_r(os_errno, text, sizeof text));
    err->os_errno = status == PST_EIO ? os_errno : 0;
    return status;
}
