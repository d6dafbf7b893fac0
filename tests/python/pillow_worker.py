# SPDX-License-Identifier: Apache-2.0
"""Resizes with the Pillow of the interpreter that runs it: pillow_worker.py JOBS RESULTS.

JOBS is an npz of RGB images and of `jobs`, rows of (image, left, top, right, bottom, filter, width,
height): the box is cut out, and what is cut out is resized. RESULTS has an image for each row.
"""

import sys

import numpy
from PIL import Image


def main() -> None:
    given = numpy.load(sys.argv[1])
    results = {}
    for row, job in enumerate(given["jobs"]):
        number, left, top, right, bottom, resample, width, height = map(int, job)
        image = Image.fromarray(given[f"image{number}"]).crop((left, top, right, bottom))
        results[f"result{row}"] = numpy.asarray(image.resize((width, height), resample))
    numpy.savez(sys.argv[2], **results)


if __name__ == "__main__":
    main()
