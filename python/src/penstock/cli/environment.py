# SPDX-License-Identifier: Apache-2.0
"""What this machine gives to a loader, and what is installed."""

import os
import platform
import resource
from importlib import metadata
from typing import Any

from penstock import __version__, _core

_CGROUP = "/sys/fs/cgroup"


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def _cgroup_folders() -> list[str]:
    """The process' cgroup (version 2) and those above it."""
    for line in (_read("/proc/self/cgroup") or "").splitlines():
        if line.startswith("0::"):
            parts = [part for part in line[3:].split("/") if part]
            return [os.path.join(_CGROUP, *parts[:n]) for n in range(len(parts), -1, -1)]
    return [_CGROUP]


def quota() -> float | None:
    """Cores by the quota of the cgroup; None: no limit."""
    found = []
    for folder in _cgroup_folders():
        words = (_read(f"{folder}/cpu.max") or "").split()
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
            found.append(int(words[0]) / int(words[1]))
    most = _read(f"{_CGROUP}/cpu/cpu.cfs_quota_us")
    period = _read(f"{_CGROUP}/cpu/cpu.cfs_period_us")
    if most and most.isdigit() and period and period.isdigit() and int(period):
        found.append(int(most) / int(period))
    return min(found, default=None)


def throttled_s() -> float:
    """How long the cgroup's quota has stopped this process' threads so far."""
    for folder in _cgroup_folders():
        for line in (_read(f"{folder}/cpu.stat") or "").splitlines():
            name, _, value = line.partition(" ")
            if name == "throttled_usec" and value.isdigit():
                return int(value) / 1e6
    return 0.0


def memory() -> dict[str, int | None]:
    """Bytes."""
    table = {}
    for line in (_read("/proc/meminfo") or "").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            table[name] = int(words[0]) * 1024
    limits = [_read(f"{folder}/memory.max") for folder in _cgroup_folders()]
    limit = min((int(text) for text in limits if text and text.isdigit()), default=None)
    return {"total": table.get("MemTotal"), "available": table.get("MemAvailable"), "limit": limit}


def memory_for_cache() -> int | None:
    """What the page cache could take, by the tightest of the figures."""
    figures = memory()
    known = [n for n in (figures["available"], figures["limit"]) if n is not None]
    return min(known, default=None)


def _shared() -> dict[str, int] | None:
    try:
        info = os.statvfs("/dev/shm")
    except OSError:
        return None
    return {"size": info.f_blocks * info.f_frsize, "free": info.f_bavail * info.f_frsize}


def _limits() -> dict[str, int | None]:
    names = {"open_files": "RLIMIT_NOFILE", "processes": "RLIMIT_NPROC", "locked": "RLIMIT_MEMLOCK"}
    found: dict[str, int | None] = {}
    for name, which in names.items():
        soft, _ = resource.getrlimit(getattr(resource, which))
        found[name] = None if soft == resource.RLIM_INFINITY else soft
    return found


def version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _accelerators() -> list[str]:
    import torch

    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def _native_refusal() -> str | None:
    """Why no loader at all would be native here."""
    import PIL.Image  # noqa: F401  (without it Pillow counts as not loaded)
    from penstock import capture, rng

    try:
        capture.check_process()
    except capture.Refusal as refusal:
        return refusal.reason
    return rng.refusal()


def describe() -> dict[str, Any]:
    packages = ("torch", "torchvision", "pillow", "numpy", "tqdm")
    versions = {name: version_of(name) for name in packages}
    has_torch = bool(versions["torch"])
    refusal: str | None = "torch or Pillow is not installed"
    if has_torch and versions["pillow"]:
        refusal = _native_refusal()
    return {
        "penstock": __version__,
        "kernels": _core.kernels(),
        "libraries": _core.build_info(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "packages": versions,
        "native_refusal": refusal,
        "cores": {
            "online": os.cpu_count(),
            "affinity": len(os.sched_getaffinity(0)),
            "quota": quota(),
            "usable": _core.cpu_count(),
        },
        "memory": memory(),
        "shared_memory": _shared(),
        "limits": _limits(),
        "accelerators": _accelerators() if has_torch else [],
    }


def problems(facts: dict[str, Any]) -> list[str]:
    """What to change, the worst first."""
    found = []
    versions, cores = facts["packages"], facts["cores"]
    for name in ("torch", "torchvision", "pillow"):
        if versions[name] is None:
            found.append(f"{name} is not installed: pip install 'penstock[torch]'")
    if facts["native_refusal"] and versions["torch"] and versions["pillow"]:
        found.append(f"no loader can be native: {facts['native_refusal']}")
    if facts["kernels"] == "scalar" and facts["machine"] == "x86_64":
        found.append("the CPU has no AVX2, or the hypervisor hides it: transforms are slow")
    if cores["usable"] < (cores["online"] or 1):
        found.append(
            f"only {cores['usable']} of {cores['online']} cores may be used "
            f"(affinity {cores['affinity']}, quota {cores['quota'] or 'none'})"
        )
    files = facts["limits"]["open_files"]
    if files is not None and files < 1024:
        found.append(f"only {files} files may be open: ulimit -n 65536")
    shared = facts["shared_memory"]
    if shared is None or shared["size"] < 256 << 20:
        found.append("/dev/shm is missing or below 256 MiB: PyTorch's workers need it (--shm-size)")
    return found
