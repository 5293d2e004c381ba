"""The Content-Security-Policy of the pages, and the one script element that it allows in them: rules that say which
pages the browser may load ahead."""

from __future__ import annotations

import base64
import hashlib
import json

# A channel's neighbours, to which the arrow keys lead, are loaded before they are asked for; the one that the pointer
# rests on is drawn too. The script site_src/js/speculation.js puts this text into a page, letter for letter.
RULES = json.dumps(
    {
        "prefetch": [
            {"where": {"selector_matches": "[data-go=left], [data-go=right]"}, "eagerness": "immediate"}
        ],
        "prerender": [{"where": {"selector_matches": "[data-go]"}, "eagerness": "moderate"}],
    }
)

# Nothing is loaded from elsewhere and no script stands in a page but RULES, which the policy names by their hash.
# `file:` lets browsers that do not count a folder as 'self' open the site from a disk; on a web server it matches
# nothing.
_HASH = base64.b64encode(hashlib.sha256(RULES.encode()).digest()).decode()
POLICY = f"default-src 'self' file: 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
# For the page that runs a network: it alone may compile WebAssembly, and it may ask for nothing but the site's files.
# Its thumbnails are shown from the browser's memory (`blob:`).
LIVE_POLICY = (
    f"default-src 'self' file:; script-src 'self' file: 'sha256-{_HASH}' 'wasm-unsafe-eval'; connect-src 'self'; "
    "img-src 'self' file: blob:; "
    "base-uri 'none'; form-action 'none'"
)
