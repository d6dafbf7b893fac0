# SPDX-License-Identifier: Apache-2.0
"""Datasets that the engine reads by itself, and that any other loader can read, too."""

from penstock.datasets.array_rows import Array
from penstock.datasets.files import IndexReport
from penstock.datasets.image_folder import ImageFolder
from penstock.datasets.image_list import ImageList
from penstock.datasets.tokens import Tokens

__all__ = ["Array", "ImageFolder", "ImageList", "IndexReport", "Tokens"]
