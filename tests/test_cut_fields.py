"""Pages whose sections cut fields out of whole pictures find the styles for that, in every kind of atlas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from generator.core.progress import Reporter
from generator.site.links import check_links
from generator.site.render import render_site
from generator.stages.pipeline import compute
from generator.stages.profile import Profile


@pytest.mark.slow
@pytest.mark.parametrize(
    "sections",
    [
        pytest.param({"effects": {"enabled": False}}, id="no contributions"),
        pytest.param({"site": {"publish_patches": False}}, id="no pictures published"),
        pytest.param({"stream": {"rescaled": False}}, id="no rescaled pictures"),
    ],
)
def test_no_link_is_broken(tiny: Profile, tmp_path: Path, sections: dict[str, Any]) -> None:
    # All channels have pictures: none shows whole ones in place of tiles.
    whole = tiny.model_dump() | {"ascent": None, "deepdream": None}
    whole["layers"]["channels"] = None
    profile = Profile.model_validate(whole).changed("tiny", **sections)
    compute(profile, tmp_path / "tiny", Reporter(quiet=True))
    render_site([tmp_path / "tiny"], tmp_path / "site")
    assert check_links(tmp_path / "site") == []
    assert "The whole range" in (tmp_path / "site/tiny/res2a/0.html").read_text("utf-8")
