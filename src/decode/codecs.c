/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include <jpeglib.h>

#include "decode/codec.h"

const struct pst__codec *const pst__codecs[PST_N_CODECS] = {
    &pst__codec_jpeg, &pst__codec_png, &pst__codec_webp, &pst__codec_bmp, &pst__codec_gif};

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *pst__decode_libraries(void)
{
    return "libjpeg-turbo " TEXT(LIBJPEG_TURBO_VERSION) ", libwebp " PST_LIBWEBP_VERSION;
}
