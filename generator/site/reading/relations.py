"""What a channel's page says about refinement and correspondence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generator.core.records import LayerInfo
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer_pairs import Match


@dataclass(frozen=True)
class SimilarChannels:
    """A channel's best matches in a neighbouring layer, strongest first. flow: address of the page that draws all
    matches of the two layers, below the network's folder; tied: whether the network adds channels of equal numbers, so
    that the match of the same number is not listed; untied_rho, untied_shared: mean rank correlation and shared
    pictures of the two layers' untied pairs, None where they are not known."""

    layer: str
    matches: Sequence[Match]
    flow: str
    tied: bool
    untied_rho: float | None
    untied_shared: float | None


def similar_channels(atlas: Atlas, info: LayerInfo, channel: int) -> list[SimilarChannels]:
    """The channel's best matches in the layers next to it. Of tied layers the channel of the same number is left out:
    the page shows it anyway."""
    similar = []
    for pair in atlas.pairs_at.get(info.name, ()):
        forward = pair.source == info.name
        matches = [
            match
            for match in atlas.matches(pair, forward=forward)[channel]
            if not (pair.is_tied and match.channel == channel)
        ]
        if matches:
            layer = pair.target if forward else pair.source
            similar.append(
                SimilarChannels(
                    layer, matches, pair.flow_address, pair.is_tied, pair.untied_rho, pair.untied_shared
                )
            )
    return similar
