"""The operations because of which torch computes a layer's gradients, in words."""

from __future__ import annotations

from collections.abc import Sequence

# By the operation's name among torch's; a name that is not here stands as it is.
_WORDS = {
    "gelu": "GELU",
    "silu": "SiLU",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "elu": "ELU",
    "selu": "SELU",
    "celu": "CELU",
    "mish": "Mish",
    "hardswish": "Hardswish",
    "softplus": "softplus",
    **dict.fromkeys(("hardsigmoid", "hardtanh"), "limited linear gates"),
    **dict.fromkeys(("softmax", "_softmax", "log_softmax"), "softmax"),
    **dict.fromkeys(("group_norm", "native_group_norm"), "GroupNorm"),
    "instance_norm": "InstanceNorm",
    **dict.fromkeys(("layer_norm", "native_layer_norm"), "LayerNorm"),
    "rms_norm": "RMSNorm",
    "mul": "products of maps",
    "strides": "paths of different stride",
    **dict.fromkeys(("matmul", "bmm", "einsum", "baddbmm"), "matrix products of maps"),
    "scaled_dot_product_attention": "attention",
    **dict.fromkeys(
        ("adaptive_pool", "adaptive_avg_pool2d", "adaptive_max_pool2d", "mean", "amax", "linear", "flatten"),
        "pooling of whole maps",
    ),
    **dict.fromkeys(("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d"), "enlarged maps"),
    **dict.fromkeys(("conv2d", "conv1d", "avg_pool2d", "max_pool2d"), "other convolutions and poolings"),
    "pad": "other padding",
}
# What only gives numbers another place or name: named where there is nothing else.
_MOVES = (
    "view", "reshape", "permute", "transpose", "slice", "select", "split", "split_with_sizes", "chunk", "unbind",
    "narrow", "squeeze", "unsqueeze", "expand", "expand_as", "flatten", "unflatten", "clone", "contiguous", "cat",
    "stack", "to", "_to_copy", "add", "sub", "rsub", "div", "roll", "copy", "alias",
)  # fmt: skip


def operation_words(names: Sequence[str]) -> str:
    """What a network uses, as the object of a sentence; names: of torch's operations.

    >>> operation_words(["mean", "sigmoid", "view", "mul"])
    'pooling of whole maps, sigmoid and products of maps'
    >>> operation_words(["reshape", "transpose"])
    'rearranged maps'
    """
    words = list(dict.fromkeys(_WORDS.get(name, name) for name in names if name not in _MOVES))
    if not words:
        return "rearranged maps" if names else ""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
