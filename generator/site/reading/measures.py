"""The statistics of a channel, with their definitions. A new one is one entry."""

from __future__ import annotations

import numpy as np

from generator.site.formats import correlation, integer, percent, signed, significant
from generator.site.reading.measure import Measure

ACTIVATION = "act."

MEASURES: tuple[Measure, ...] = (
    Measure(
        "max",
        "strongest",
        ACTIVATION,
        "The largest value of the channel's activation map over all positions of all pictures, in the "
        "network's own units (activations have no physical unit; compare them within a layer only).",
        significant,
    ),
    Measure(
        "mean",
        "mean",
        ACTIVATION,
        "The mean of the channel's activation over all positions of all pictures.",
        significant,
    ),
    Measure(
        "std",
        "spread",
        ACTIVATION,
        "The standard deviation of the channel's activation over all positions of all pictures.",
        significant,
        least=0,
    ),
    Measure(
        "active_pictures",
        "active on",
        "% of pictures",
        "The share of pictures in which the channel's activation is above zero at one position or more.",
        percent,
        least=0,
        most=1,
    ),
    Measure(
        "active_positions",
        "active at",
        "% of positions",
        "The share of all positions of all pictures at which the channel's activation is above zero.",
        percent,
        least=0,
        most=1,
    ),
    Measure(
        "ascent_value",
        "optimised",
        ACTIVATION,
        "The activation of the unit in the middle of the channel's map (or, where the profile says so, the mean of the "
        "map) for the channel's optimised picture as it is shown (rounded to 8 bits, not shifted). Compare it with "
        "*strongest* to see how far the picture goes beyond the best patch.",
        significant,
    ),
    Measure(
        "shared_previous",
        "pictures kept",
        "of 9",
        "How many of the channel's nine pictures are also among the top-9 of the same channel number in the "
        "previous block of the stage. The addition of a residual block ties the two channels together; "
        "between stages there is no such tie, so the first block of a stage has no value.",
        integer,
        missing=-1,
        most=9,
    ),
    Measure(
        "spearman_previous",
        "rank correlation",
        "ρ",
        "Spearman's rank correlation, over the pictures, of the channel's score (its spatial maximum in the "
        "picture) with the score of the same channel number in the previous block of the stage: 1 where both "
        "blocks put the pictures in the same order, 0 where the two orders are unrelated.",
        correlation,
        least=-1,
        most=1,
    ),
    Measure(
        "pearson_previous",
        "linear correlation",
        "r",
        "Pearson's linear correlation of the same two scores.",
        correlation,
        least=-1,
        most=1,
    ),
    Measure(
        "places_previous",
        "places kept",
        "of 9",
        "Of the pictures kept, how many also have the unit at the same place: the middles of the two units' receptive "
        "fields are at most one stride apart, to the side and up or down.",
        integer,
        missing=-1,
        most=9,
    ),
    Measure(
        "overlap5_previous",
        "highest 5 % kept",
        "share",
        "Of the highest 5 % of the pictures by the channel's score, the share that is also among the highest 5 % of "
        "the same channel number in the previous block of the stage. Unlike the rank correlation, it is not ruled by "
        "the many weak scores. Channels of different numbers have what the page Refinement says.",
        correlation,
        least=0,
        most=1,
    ),
    Measure(
        "gain_previous",
        "label gain",
        "difference",
        "Label agreement here less label agreement of the same channel number in the previous block of the stage. The "
        "nine pictures are few: see its interval on the channel's page, and the page Refinement for whether gains "
        "repeat on other pictures.",
        signed,
    ),
    Measure(
        "label_purity",
        "label purity",
        "% of 9",
        "The share of the nine pictures that carry the commonest of their labels. Needs nine labelled pictures, and a "
        "set in which some label has two.",
        percent,
        least=0,
        most=1,
    ),
    Measure(
        "label_entropy",
        "label entropy",
        "bits",
        "The entropy of the nine pictures' labels: 0 where all are alike, log₂ 9 = 3.17 where all differ.",
        correlation,
        least=0,
        most=np.log2(9).item(),
    ),
    Measure(
        "group_purity",
        "group purity",
        "% of 9",
        "The share of the nine pictures whose labels fall into the commonest of their groups, where a hierarchy of "
        "classes is given. It is cut, from its root down, into the largest groups that hold at most an eighth of the "
        "pictures; classes.csv lists them.",
        percent,
        least=0,
        most=1,
    ),
    Measure(
        "label_agreement",
        "label agreement",
        "",
        "How similar the classes of the nine pictures are: the mean similarity of their 36 pairs, scaled so that 0 is "
        "the mean of two pictures of the whole set and 1 is a single class. Below 0 they are less alike than two "
        "pictures taken at random. The similarity of two classes is that of Lin (1998) in the hierarchy where one is "
        "given, otherwise 0.",
        correlation,
        most=1,
    ),
    Measure(
        "agreement_decline",
        "agreement fall",
        "difference",
        "Label agreement of the top-9 less that of the nine pictures around the 90 % quantile of the channel's scores "
        "above zero. Only where the top-9 agree more than all but one in a thousand of nine random pictures: other "
        "channels have nothing to fall from. A class of few pictures cannot fill the 90 % quantile, so a detector of "
        "such a class falls too.",
        signed,
    ),
    Measure(
        "agreement_90",
        "label agreement at 90 %",
        "",
        "Label agreement of the nine pictures around the 90 % quantile of the channel's scores above zero.",
        correlation,
        listed=False,
        most=1,
    ),
    Measure(
        "agreement_falls",
        "label agreement falls",
        "1 for yes",
        "Whether the label agreement of the top-9 is at least 0.3 and higher than that of all but one in a thousand of "
        "nine random pictures, and that of the nine pictures around the 90 % quantile not above the middle 95 % of "
        "nine random pictures.",
        integer,
        listed=False,
    ),
    Measure(
        "level_90",
        "activation at 90 %",
        "% of the top-9",
        "The score at the 90 % quantile of the channel's scores above zero, as a share of the fifth score of the "
        "top-9.",
        percent,
        listed=False,
        least=0,
    ),
    Measure(
        "machine_score",
        "machine score",
        "chance 0.5",
        "Machine interpretability score: the share of trials in which a machine tells a picture that activates the "
        "channel strongly from one that activates it weakly, from nine others of either kind. It compares final "
        "features: the network's own, unless the profile names another's. By its own features a network judges itself: "
        "a high score says that the channel goes along with what the last layer tells apart, not that people "
        "understand it.",
        correlation,
        least=0,
        most=1,
    ),
    Measure(
        "visual_agreement",
        "visual agreement",
        "",
        "How alike the nine pictures look to a network: the mean cosine similarity of their final features (what the "
        "classifier reads), centred on the mean of all pictures, scaled so that 0 is the mean of two pictures of the "
        "whole set and 1 is nine equal pictures. Where the features are this network's own, its last layers agree with "
        "them by construction.",
        correlation,
        most=1,
    ),
    Measure(
        "class_auroc",
        "best class",
        "AUROC",
        "How well the channel's scores tell the pictures of one class from all others: the chance that a picture of "
        "the class has a higher score than another picture. The class is the best one on half of the pictures; the "
        "number is its AUROC on the other half, so that 0.5 is chance. Only classes with at least ten pictures in each "
        "half count.",
        correlation,
        least=0,
        most=1,
    ),
    Measure(
        "group_auroc",
        "best group",
        "AUROC",
        "The same with the groups of the hierarchy in place of the classes.",
        correlation,
        least=0,
        most=1,
    ),
    Measure(
        "class_precision",
        "precision for the best class",
        "average precision",
        "The average precision of the same class on the same half of the pictures: the mean, over the pictures of the "
        "class, of the share of the class among the pictures with at least the same score. Chance is the share of the "
        "class among all pictures.",
        correlation,
        listed=False,
        least=0,
        most=1,
    ),
    Measure(
        "group_precision",
        "precision for the best group",
        "average precision",
        "The same for the best group.",
        correlation,
        listed=False,
        least=0,
        most=1,
    ),
    Measure(
        "shortcut_share",
        "shortcut's share",
        "of the sum",
        "A block's output is the ReLU of a sum: what came along the shortcut (the identity or a projection) and "
        "what the branch added. Both parts are read at each of the channel's nine units. The share is "
        "s⁺ / (s⁺ + b⁺), where s is the shortcut's part, b the branch's, and ⁺ sets a negative value to zero. A "
        "negative part reduces the sum; the share then counts the other part as 100 %. The number is the mean over "
        "the units: 1 is a channel that the block passes on unchanged, 0 one that the block makes.",
        correlation,
        least=0,
        most=1,
    ),
    Measure(
        "active_share",
        "shortcut's signed share",
        "of the sum",
        "The shortcut's part of what the channel's active units received: S / (S + B), where S and B are what the "
        "shortcut and the branch give, with their signs, summed over all units above zero of all pictures. Below 0 the "
        "shortcut subtracts on average, above 1 the branch does. Not given where a block ends without a ReLU.",
        correlation,
        listed=False,
    ),
    Measure(
        "active_shortcut",
        "shortcut at active units",
        ACTIVATION,
        "What the shortcut gives, with its sign, on average over all units of the channel that are above zero, of all "
        "pictures (over all units where a block ends without a ReLU).",
        significant,
        listed=False,
    ),
    Measure(
        "active_branch",
        "branch at active units",
        ACTIVATION,
        "What the branch gives, with its sign, on average over the same units.",
        significant,
        listed=False,
    ),
    Measure(
        "mix_overlap",
        "pictures on both sides",
        "of 9",
        "How many of the nine pictures that drive the channel's Input most are also among the nine pictures that "
        "drive its Block most. Shared pictures have the same output on both sides, so they move the mix ratio towards "
        "1 by construction.",
        integer,
        listed=False,
        least=0,
        most=9,
    ),
    Measure(
        "mix_ratio",
        "mix ratio",
        "M",
        "Longon's mix ratio (arXiv:2407.05340, section 3) on the pictures of this atlas: the block's output at the "
        "neuron in the middle of the map, averaged over the nine pictures that drive its Input there most (what "
        "comes along the shortcut), divided by its average over the nine pictures that drive its Block there most "
        "(what the branch adds). Above 1 the input's feature reaches the output better than the block's: the channel "
        "skips; below 1 it is overwritten; between 1/1.5 and 1.5 it is called a mixture. 10 where the output at the "
        "block's pictures is not above zero, 0 where it is not at the input's, and no value where it is at "
        "neither; a picture is listed only where it drives Input or Block above zero. The paper uses one "
        "optimised picture each instead of nine.",
        correlation,
        least=0,
    ),
    Measure(
        "scale_sum",
        "scale metric",
        "ΔB + ΔI",
        "The sum of the two scale criteria of arXiv:2407.05340, section 4: see ΔB and ΔI. The paper calls a channel "
        "scale invariant where both are above zero and the mix ratio lies between 1/1.5 and 1.5. On drawings of known "
        "size neither the sum nor the criteria find the invariant channels: see the page Scale.",
        significant,
        listed=False,
    ),
    Measure(
        "scale_block",
        "ΔB",
        "of the strongest",
        "By how much more strongly the branch responds to the pictures of its input when they are enlarged twofold: "
        "the mean over the nine pictures of Input of [r(B(S x)) − r(B(x))], as a share of the branch's mean over "
        "its own nine; r is the ReLU, S cuts out the middle half of the picture and resizes it to the whole. ΔB′ "
        "is ΔB less the mean change over all pictures, because rescaling changes the response to any picture.",
        significant,
        listed=False,
    ),
    Measure(
        "scale_input",
        "ΔI",
        "of the strongest",
        "By how much more strongly the input responds to the pictures of the branch when they are reduced to half: "
        "as ΔB, with Input and Block exchanged and S⁻¹, which resizes the picture to half and mirrors it at its "
        "border up to the old size. ΔI′ is ΔI less the mean change over all pictures.",
        significant,
        listed=False,
    ),
    Measure(
        "zoom_invariance",
        "zoom invariance",
        "least / greatest",
        "The channel's smallest response divided by its largest, within an octave of zooms that contains the largest "
        "(the best such octave). At most 400 pictures of the set are enlarged and reduced by ½, 1/√2, 1, √2 and 2. The "
        "response at a zoom is the channel's mean over nine pictures less its mean over all; chosen are those of "
        "highest mean rank at the other four zooms. It is 1 for a channel that responds alike to every size, but also "
        "where the pictures hold its feature at many sizes: on drawings of known size it hardly finds the invariant "
        "channels.",
        correlation,
        listed=False,
        least=0,
        most=1,
    ),
    Measure(
        "zoom_correlation",
        "zoom correlation",
        "ρ",
        "Spearman's rank correlation, over the same pictures, of the channel's responses to them at zooms 1/√2 and √2, "
        "an octave apart: whether it orders the pictures alike at both. 0 is chance. On drawings of known size it "
        "finds the invariant channels a little better than chance: see the page Scale.",
        correlation,
        listed=False,
        least=-1,
        most=1,
    ),
    Measure(
        "mix_ratio_optimised",
        "mix ratio, optimised",
        "M",
        "The mix ratio after arXiv:2407.05340: at two pictures optimised to drive the channel's Input and its "
        "Block in the middle of the map (decorrelated Fourier parameters, Adam; scale, rotation and jitter as in the "
        "authors' code, without its padding and its second jitter; the profile sets the steps). Block is the branch "
        "itself, before the addition.",
        correlation,
        listed=False,
        least=0,
    ),
    Measure(
        "scale_sum_optimised",
        "scale metric, optimised",
        "ΔB + ΔI",
        "The scale metric at the same two optimised pictures, one each in place of nine.",
        significant,
        listed=False,
    ),
    Measure(
        "scale_truth",
        "true invariance",
        "least / greatest",
        "Only where the pictures are those of the drawn world: the channel's smallest response divided by its largest, "
        "within an octave of sizes that contains the largest (the best such octave), over the three classes that drive "
        "it most: the sum of the three smallest responses over the sum of the three largest. Six drawings of every "
        "class are made at five sizes, half an octave apart, all else unchanged; the response to a size is the mean, "
        "over a class's drawings, of the channel's strongest value less its strongest value on the same picture with "
        "the object shrunk to a pixel.",
        correlation,
        listed=False,
    ),
    Measure(
        "scale_gain",
        "gain in invariance",
        "difference",
        "The channel's true invariance less that of what comes along the shortcut, for the same classes.",
        correlation,
        listed=False,
    ),
    Measure(
        "block_correlation",
        "block against input",
        "ρ",
        "Spearman's rank correlation of Block with Input at the middle of the map over the pictures that drive "
        "Input above zero (of the pictures whose scores the atlas keeps, at most 5,000): below zero, the branch "
        "subtracts the more, the more the input brings.",
        correlation,
        listed=False,
        least=-1,
        most=1,
    ),
    Measure(
        "block_at_input",
        "block on the input's pictures",
        ACTIVATION,
        "What the branch adds at the middle of the map, averaged over the nine pictures that drive Input there most.",
        significant,
        listed=False,
    ),
    Measure(
        "block_mean",
        "block on all pictures",
        ACTIVATION,
        "What the branch adds at the middle of the map, averaged over all pictures.",
        significant,
        listed=False,
    ),
    Measure(
        "norm_weight",
        "BatchNorm's weight",
        "|γ|",
        "The absolute weight γ of the branch's last BatchNorm for this channel. Given where the weights hold the "
        "running statistics apart from γ; otherwise see *BatchNorm's scale*.",
        significant,
        listed=False,
        least=0,
    ),
    Measure(
        "norm_scale",
        "BatchNorm's scale",
        "|γ| / σ",
        "The absolute factor by which the branch's last BatchNorm multiplies this channel, where these weights have "
        "their running statistics folded in (mean 0 and variance 1 everywhere): the stored weight is then γ / σ, and γ "
        "itself is not known.",
        significant,
        listed=False,
        least=0,
    ),
    Measure(
        "convolution_weight",
        "convolution's weight",
        "mean |w|",
        "The mean absolute weight of the filter of the branch's last convolution for this channel, before its "
        "BatchNorm where it has one.",
        significant,
        listed=False,
        least=0,
    ),
)

BY_KEY = {measure.key: measure for measure in MEASURES}
