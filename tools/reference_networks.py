"""Write generator/site/data/reference_networks.json: python -m tools.reference_networks"""

from __future__ import annotations

import json
from pathlib import Path

from generator.network.reference_networks import reference

PATH = Path(__file__).resolve().parents[1] / "generator" / "site" / "data" / "reference_networks.json"


def main() -> None:
    data = reference()
    lines = [f' "{key}": {json.dumps(data[key], ensure_ascii=False)}' for key in data if key != "networks"]
    networks = ",\n".join(
        "  " + json.dumps(network, ensure_ascii=False, separators=(",", ":")) for network in data["networks"]
    )
    PATH.write_text("{\n" + ",\n".join([f' "networks": [\n{networks}\n ]', *lines]) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
