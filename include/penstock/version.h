/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENSTOCK_VERSION_H
#define PENSTOCK_VERSION_H

/* The only place that holds the version: Meson and the Python package read it from here. */
#define PST_VERSION_MAJOR 0
#define PST_VERSION_MINOR 1
#define PST_VERSION_PATCH 0
#define PST_VERSION_STRING "0.1.0"

#endif
