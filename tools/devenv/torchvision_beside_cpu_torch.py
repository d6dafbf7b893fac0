# SPDX-License-Identifier: Apache-2.0
"""Lets torchvision's wheel, built for CUDA, be imported beside a torch without CUDA.

Its operators cannot be loaded there, and its Python code then fails on registering a fake for
torchvision::nms, which does not exist. A .pth file imports this module at every start of the
environment's interpreter, so it imports nothing itself: a finder waits for the first import of
torchvision, and only then, and only where the operators do not load, the two schemas are defined.
"""

import sys

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_libraries = []  # a library takes its definitions back when it is collected


class _Finder:
    def find_spec(self, name, path=None, target=None):
        """The spec that the import system would find, with a step before the module's code."""
        if name != "torchvision":
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None and spec.submodule_search_locations:
            execute = spec.loader.exec_module

            def exec_module(module):
                if not _libraries and not _operators_load(spec.submodule_search_locations):
                    _define_schemas()
                execute(module)

            spec.loader.exec_module = exec_module
        return spec


def _operators_load(folders):
    """Loads torchvision's operators as it will itself; a second load of a file does nothing."""
    from importlib.machinery import PathFinder

    import torch

    operators = PathFinder.find_spec("_C", list(folders))
    if operators is None:
        return False
    try:
        torch.ops.load_library(operators.origin)
    except OSError:
        return False
    return True


def _define_schemas():
    import torch

    library = torch.library.Library("torchvision", "DEF")
    library.define("nms" + _SCHEMA)
    library.define("qnms" + _SCHEMA)
    _libraries.append(library)


sys.meta_path.insert(0, _Finder())
