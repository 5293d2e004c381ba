"""Device selection, threads, memory and determinism."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import sys
from collections.abc import Iterator

import torch

from generator.core.errors import AtlasError

# Parts of the messages of torch's RuntimeErrors about memory (its OutOfMemoryError aside): from its allocators, CUDA's
# runtime, driver and libraries, oneDNN, and C++.
_NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "could not create a memory",
    "out of memory",
    "cudaErrorMemoryAllocation",
    "_ALLOC_FAILED",  # of cuBLAS, cuSPARSE, cuSOLVER and, until version 8, cuDNN
    "_ALLOCATION_FAILED",  # of cuDNN
    "bad_alloc",
)
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of glibc
_NEVER = 2**31 - 1  # bytes; mallopt takes a C int, and glibc reads this one as "keep all"


def avoid_page_faults() -> bool:
    """Make glibc keep the memory of large buffers instead of returning it to the system after every batch: each batch
    would fault its pages in again, which halves the rate of a CPU run.

    Returns whether that was done: only on Linux with glibc. Call it before the first large tensor.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
        ctypes.CDLL(None).gnu_get_libc_version  # noqa: B018 — musl has a mallopt in name only, and lacks this
    except (OSError, AttributeError):
        return False
    # 1 is success.
    return bool(mallopt(_M_MMAP_MAX, 0) == 1 and mallopt(_M_TRIM_THRESHOLD, _NEVER) == 1)


def trim_memory() -> None:
    """Return to the system what glibc has kept since avoid_page_faults. Call it between stages: each needs buffers of
    other sizes, which would be allocated in addition to those of the stage before."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(AttributeError):  # musl has none
            ctypes.CDLL(None).malloc_trim(0)


def choose_device(name: str | None = "auto", local_rank: int = 0, threads: int | None = None) -> torch.device:
    """The device for a profile's `device`, set up to give the same numbers on every run.

    name: auto (CUDA where there is a device, else the CPU), cpu, cuda (the device of this process's local rank) or
    cuda:N; threads: of the CPU, torch's choice where None. Apple's MPS is not used: it has no float64, which the exact
    statistics need. Raises AtlasError for any other name, for fewer than one thread and for a GPU that does not exist.
    """
    if threads is not None:
        if threads < 1:
            raise AtlasError(f"{threads} threads can compute nothing", remedy="give at least 1")
        torch.set_num_threads(threads)
    name = (name or "auto").lower()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise AtlasError("unknown device", name, "write auto, cpu, cuda or cuda:0")
    if not torch.cuda.is_available():
        raise AtlasError(
            "torch finds no CUDA device", name, "use --device cpu, or install a CUDA build of torch"
        )
    count = torch.cuda.device_count()
    index = int(number) if number else local_rank % count
    if index >= count:
        raise AtlasError(
            f"there are {count} CUDA devices, counted from 0", name, f"use at most cuda:{count - 1}"
        )
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    # "fp32" has to mean fp32. cuDNN's benchmark mode may choose another algorithm, with other last bits, in each run.
    use_tf32(False)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    return device


@contextlib.contextmanager
def one_thread_each(device: torch.device, feeders: int = 1) -> Iterator[int]:
    """Within this context torch computes every operation in one thread on the CPU; yields how many threads may compute
    at the same time. On a GPU nothing changes, and it yields `feeders`, the threads that feed it."""
    threads = torch.get_num_threads()
    if device.type != "cpu":
        yield feeders
        return
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the device, or the machine, has no memory left. An AtlasError never does: its message
    is written for people."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):  # NumPy's is a MemoryError
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    text = str(error)
    return isinstance(error, RuntimeError) and any(part in text for part in _NO_MEMORY)


def free_memory(device: torch.device) -> None:
    """Return the memory that torch and glibc keep for later use."""
    gc.collect()
    trim_memory()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def use_tf32(allowed: bool) -> None:
    """Set whether CUDA may multiply in TF32 (10 bits of mantissa) from now on."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
