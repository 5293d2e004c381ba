"""Residual Atlas: a trained residual network and a folder of pictures become a browsable atlas of its features.

Everything flows one way: profile → network + pictures → scan → pictures of units → store → pages → site. What `__all__`
names is the public interface. Each name is imported when it is first used, so that importing this package imports no
torch, and the site part works without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from generator.core.errors import AtlasError
    from generator.core.store import Store
    from generator.network.models import load as load_network
    from generator.network.network import Network
    from generator.site.render import render_site
    from generator.stages.pipeline import compute
    from generator.stages.profile import Profile
    from generator.stages.profile import load as load_profile
    from generator.stages.verify import verify

__version__ = "0.1.0"
__all__ = [
    "AtlasError",
    "Network",
    "Profile",
    "Store",
    "compute",
    "load_network",
    "load_profile",
    "render_site",
    "verify",
]

_HOME = {
    "AtlasError": "generator.core.errors:AtlasError",
    "Network": "generator.network.network:Network",
    "Profile": "generator.stages.profile:Profile",
    "Store": "generator.core.store:Store",
    "compute": "generator.stages.pipeline:compute",
    "load_network": "generator.network.models:load",
    "load_profile": "generator.stages.profile:load",
    "render_site": "generator.site.render:render_site",
    "verify": "generator.stages.verify:verify",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOME[name].split(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
