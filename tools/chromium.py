"""Find a Chromium for the browser tests, or install one; and how it imitates a graphics card."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Options with which it computes WebGPU on the processor, by SwiftShader.
WEBGPU_ON_PROCESSOR = (
    "--enable-unsafe-webgpu",
    "--enable-features=Vulkan,WebGPU",
    "--use-vulkan=swiftshader",
    "--use-webgpu-adapter=swiftshader",
    "--ignore-gpu-blocklist",
)
# To run before a page's own scripts: what a processor computes is not told from what a graphics card does.
AS_CARD = """
for (const kind of [window.GPUAdapterInfo, window.GPUAdapter]) {
  if (kind) Object.defineProperty(kind.prototype, "isFallbackAdapter", { get: () => false });
}
"""


def find() -> str | None:
    """The path of an installed Chromium or of Playwright's download, None if there is neither."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        downloaded = playwright.chromium.executable_path
    return downloaded if Path(downloaded).exists() else None


def ensure() -> str:
    """The path of a Chromium. If there is none, install Playwright's download, else Debian's package if run as root.

    Ends the program with a message if that fails."""
    if path := find():
        return path
    print("no Chromium found; downloading Playwright's", flush=True)
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], timeout=300, check=False)
    if path := find():
        return path
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing Debian's chromium", flush=True)
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"], check=False)
    if path := find():
        return path
    sys.exit(
        "no Chromium for the browser tests: install one (Debian: apt-get install chromium) and run again"
    )
