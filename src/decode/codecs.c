/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include <jpeglib.h>
#include <spng.h>

#include "decode/codec.h"

const struct pst__codec *const pst__codecs[PST_N_CODECS] = {&pst__codec_jpeg, &pst__codec_png,
                                                            &pst__codec_webp};

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *pst__decode_libraries(void)
{
    return "libjpeg-turbo " TEXT(LIBJPEG_TURBO_VERSION) ", libspng " TEXT(SPNG_VERSION_MAJOR) "." TEXT(
        SPNG_VERSION_MINOR) "." TEXT(SPNG_VERSION_PATCH) ", libwebp " PST_LIBWEBP_VERSION;
}
