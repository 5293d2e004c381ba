"""Make sure that the browser tests have a browser, so that they are never skipped. Called by `make test`."""

from chromium import ensure

if __name__ == "__main__":
    print("browser tests use", ensure())
