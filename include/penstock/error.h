/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_ERROR_H
#define PENSTOCK_ERROR_H

#include <stdint.h>

#include <penstock/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every function that can fail returns an int: 0 is success, a positive value is not an error, a
 * negative value is. This list makes the enum, the names, the messages and the Python exceptions:
 *
 *   X(name, value, python exception, text)
 *
 * Values are part of the ABI: append, never renumber. */
#define PST_STATUS_MAP(X)                                                                          \
    X(OK, 0, None, "ok")                                                                           \
    X(END, 1, StopIteration, "nothing is left")                                                    \
    X(AGAIN, 2, None, "not ready yet")                                                             \
    X(EINVAL, -1, ValueError, "invalid argument")                                                  \
    X(ENOMEM, -2, MemoryError, "out of memory")                                                    \
    X(EIO, -3, OSError, "input/output error")                                                      \
    X(EFORMAT, -4, DecodeError, "malformed data")                                                  \
    X(ETRUNCATED, -5, DecodeError, "data ends too early")                                          \
    X(EUNCLEAN, -6, DecodeError, "data decodes only with a warning")                               \
    X(EUNSUPPORTED, -7, DecodeError, "not supported by the native decoders")                       \
    X(ELIMIT, -8, LimitError, "over a limit")                                                      \
    X(ERAGGED, -9, Error, "samples of one batch differ in shape")                                  \
    X(ERANGE, -10, IndexError, "index out of range")                                               \
    X(ETIMEOUT, -11, TimeoutError, "deadline passed")                                              \
    X(ECLOSED, -12, Error, "already closed")                                                       \
    X(EFORKED, -13, ForkError, "handle belongs to the parent process")                             \
    X(ETHREAD, -14, Error, "thread could not be started")                                          \
    X(ECALLBACK, -15, Error, "callback failed")                                                    \
    X(ENOTFOUND, -16, FileNotFoundError, "nothing was found")                                      \
    X(ECANCELED, -17, Error, "canceled")

enum pst_status {
#define PST_STATUS_ENUM(name, value, exception, text) PST_##name = value,
    PST_STATUS_MAP(PST_STATUS_ENUM)
#undef PST_STATUS_ENUM
};

/* Optional detail of a failure. Zero-initialise it, pass its address or NULL. The first error wins:
 * a struct whose status is already negative is left as it is. Plain data, owns nothing. */
struct pst_error {
    int status;        /* enum pst_status */
    int os_errno;      /* errno behind PST_EIO, else 0 */
    int64_t record;    /* dataset index, or -1 */
    int64_t offset;    /* byte offset in the record, or -1 */
    char message[512]; /* one sentence: what, which file, expected and found; NUL-terminated */
};

/* Static strings; never NULL, for any value. */
PST_API const char *pst_status_name(int status);
PST_API const char *pst_status_text(int status);

/* Makes *err empty (status 0, record and offset -1). */
PST_API void pst_error_init(struct pst_error *err);

#ifdef __cplusplus
}
#endif
#endif
