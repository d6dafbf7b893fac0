/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PST_BASE_UTF8_H
#define PST_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the well-formed UTF-8 character (RFC 3629) that a NUL-terminated text begins with, 1 to
 * 4; 0 if there is none. The NUL is a character of 1 byte. */
size_t pst__utf8_length(const char *text);

/* The first code point of text as os.fsdecode() of Python sees it: a byte that is no UTF-8 becomes
 * the surrogate U+DC00 + byte. *text is moved behind it, but never behind the NUL. */
uint32_t pst__utf8_next(const char **text);

/* Compares names as Python compares the strings that os.fsdecode() makes of them: by code points,
 * which for valid UTF-8 is the order of the bytes. <0, 0, >0. */
int pst__utf8_compare(const char *a, const char *b);

#endif
