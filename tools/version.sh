#!/bin/sh
# Prints the version that include/penstock/version.h states.
sed -n 's/^#define PST_VERSION_STRING "\(.*\)"$/\1/p' "$(dirname "$0")/../include/penstock/version.h"
