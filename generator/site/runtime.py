"""onnxruntime-web, which runs a network in the reader's browser: fetched once from the npm registry, checked against a
pinned hash, and kept in the user's cache.

Version 1.20.1 is pinned because its WebAssembly is the smallest of the releases that read today's files: 3.0 MB
compressed, 3.7 MB in 1.30. Its other build, of 5.2 MB, can use the graphics card by WebGPU too; only browsers that have
one load it."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import http.client
import io
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from generator.core.errors import AtlasError
from generator.core.files import write_atomically

VERSION = "1.20.1"
INTEGRITY = (
    "TePF6XVpLL1rWVMIl5Y9ACBQcyCNFThZON/jgElNd9Txb73CIEGlklhYR3UEr1cp5r0rbGI6nDwwrs79g7WjoA=="  # SHA-512
)
REGISTRY = "https://registry.npmjs.org"
PATIENCE = 20  # seconds without an answer
LARGEST = 60_000_000  # bytes; the package has 20 MB
# The files that a page loads, with their SHA-256: of the build for the processor alone, and of the one for the graphics
# card. The WebAssembly is stored compressed, because not every web server compresses it on the way; the page unpacks
# it.
PLAIN = {
    "ort.wasm.min.mjs": "f53ed4792e758e7232f779d479eb8931b97ff3ab2e3b9a33ee00d1251ffdaad6",
    "ort-wasm-simd-threaded.mjs": "745eb7c0ce6f18a6aa521971b2877babc7ffb27eecb58ab3bc6e5ef4692672e8",
    "ort-wasm-simd-threaded.wasm": "207d02be4591c156b0a98f024f3d58005b5b04c92274d759fb390338c63559ea",
}
CARD = {
    "ort.webgpu.min.mjs": "e1a0817ac08d5a6ade7f229754c2aecd444bff0bd22c259ca148a04b9f9e9f65",
    "ort-wasm-simd-threaded.jsep.mjs": "2fb14505d39926e4c544de8c57fe59a2f2bc74caba6f71890be9afecc5046758",
    "ort-wasm-simd-threaded.jsep.wasm": "185b0861a6cd6cbdfb057289338090436483cc59e10a7bc83bd167b15531a51b",
}
FILES = PLAIN | CARD
LICENCE_NAME = "LICENSE.txt"
LICENCE = """MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
PACKED = ".wasm"  # what is stored compressed, and named .wasm.gz
FOLDER = "static/runtime"  # of the site


@dataclass(frozen=True)
class Runtime:
    """files: by name, the files of FOLDER as they are published; () and why in `absent` where they cannot be had."""

    files: tuple[tuple[str, bytes], ...]
    absent: str = ""

    @property
    def bytes(self) -> int:
        """How much a page loads that runs the network on the processor; scripts as a server compresses them."""
        return self._size(PLAIN)

    @property
    def card_bytes(self) -> int:
        """How much a page loads that runs it on the graphics card."""
        return self._size(CARD)

    def _size(self, build: Mapping[str, str]) -> int:
        names = {_published_name(name) for name in build}
        return sum(_size_on_the_way(name, content) for name, content in self.files if name in names)


def cache_folder() -> Path | None:
    """Where the program keeps what it fetched; None for a user without a home folder."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "residual-atlas" / f"onnxruntime-web-{VERSION}"
    except RuntimeError:
        return None


@functools.cache
def runtime() -> Runtime:
    """The runtime, from the cache or from the registry; asked for once per process."""
    folder = cache_folder()
    try:
        files = _kept(folder) or _keep(folder, _unpacked(_fetched()))
    except (OSError, ValueError, http.client.HTTPException, AtlasError) as error:
        return Runtime(
            (), f"onnxruntime-web {VERSION} could not be had from the npm registry ({_reason(error)})"
        )
    return Runtime(tuple(sorted(files.items())))


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        return str(getattr(error.reason, "strerror", None) or error.reason)
    if isinstance(error, http.client.HTTPException):
        return f"its answer is not HTTP: {error}" if str(error) else "its answer is not HTTP"
    return str(error)


def _size_on_the_way(name: str, content: bytes) -> int:
    """Scripts are compressed by the web server, as GitHub Pages does, the rest is stored as it is sent."""
    return len(gzip.compress(content, 9, mtime=0)) if name.endswith(".mjs") else len(content)


def _published_name(name: str) -> str:
    return f"{name}.gz" if name.endswith(PACKED) else name


def _kept(folder: Path | None) -> dict[str, bytes] | None:
    """The files of the cache; None where one is missing or damaged."""
    if folder is None:
        return None
    files = {}
    for name, digest in FILES.items():
        published = _published_name(name)
        try:
            content = (folder / published).read_bytes()
            plain = gzip.decompress(content) if published != name else content
        except (OSError, EOFError, ValueError):
            return None
        if hashlib.sha256(plain).hexdigest() != digest:
            return None
        files[published] = content
    return files


def _keep(folder: Path | None, files: dict[str, bytes]) -> dict[str, bytes]:
    """Write the files into the cache, if that is possible; returns them as they are published."""
    packed = {
        _published_name(name): gzip.compress(content, 9, mtime=0) if name.endswith(PACKED) else content
        for name, content in files.items()
    }
    try:
        if folder is not None:
            for name, content in packed.items():
                write_atomically(folder / name, content)
    except (OSError, AtlasError):
        pass  # a home folder that cannot be written: it is fetched again the next time
    return packed


def _fetched() -> bytes:
    """The package as the registry has it. Raises AtlasError where it is another than the pinned one."""
    registry = (os.environ.get("npm_config_registry") or REGISTRY).rstrip("/")  # noqa: SIM112
    address = f"{registry}/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
    if not address.startswith(("https://", "http://")):
        raise AtlasError(f"npm_config_registry is no address: {registry}")
    with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
        wanted = answer.headers.get("Content-Length", "")
        content = _read(answer)
    if content is None:
        raise AtlasError("the download broke off")
    if wanted.isdecimal() and len(content) < min(int(wanted), LARGEST):
        raise AtlasError(f"the download broke off after {len(content):,} of {int(wanted):,} bytes")
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != INTEGRITY:
        raise AtlasError("the package has another hash than the pinned one")
    return content


def _read(answer: http.client.HTTPResponse) -> bytes | None:
    """The content as far as it arrives; None where chunks, whose length nobody tells, break off."""
    try:
        return answer.read(LARGEST)
    except http.client.IncompleteRead:
        return None


def _unpacked(package: bytes) -> dict[str, bytes]:
    """The files that a page needs."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        for name in FILES:
            file = archive.extractfile(f"package/dist/{name}")
            assert file is not None  # the package's hash was checked
            files[name] = file.read()
    return files
