"""Called by `make test`: the browser tests must never be skipped for want of a browser."""

from chromium import ensure

if __name__ == "__main__":
    print("browser tests use", ensure())
