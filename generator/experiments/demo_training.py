"""Train the demo network on the drawn world: `python -m generator.experiments.demo_training OUT`.

The learning rate rises, stays constant and falls only at the end, so that a run can be extended without losing the
epochs already done. Early epochs see the pictures reduced to 48 and 64 pixels, which costs a quarter to a half as much
and teaches most of the task. The last epochs see them at full size, so that weights and running statistics fit 96
pixels.

On a shared machine, one thread (OMP_NUM_THREADS=1) can be several times as fast as two, because every operation waits
for its slowest thread.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import safetensors.torch
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from generator.core.progress import Advance, Reporter
from generator.engine.device import choose_device
from generator.experiments import demo_accuracy as measure
from generator.network.models.demo import DEMO_SIDE, MEAN, STD, demo_resnet
from generator.network.models.demo_plain import demo_plain
from generator.pictures.drawn import pool
from generator.pictures.drawn.world import CLASSES, DRAWING_KINDS, HELD_OUT_SEED, TRAIN_SEED

NETWORKS = {"residual": demo_resnet, "plain": demo_plain}
_MIRROR = np.array([kind.mirror for kind in DRAWING_KINDS])


@dataclass(frozen=True)
class Settings:
    """All that a training run depends on except the drawings."""

    seed: int = 0
    pictures: int = 13_200
    held_out: int = 2_200
    sides: tuple[int, ...] = (48, 48, 48, 48, 64, 96)  # pixels, of the pictures in each epoch
    batch: int = 64
    rate: float = 4e-3  # AdamW's highest learning rate
    # The fraction of `rate` at the start of each epoch and at the end of the last, with straight lines between.
    shares: tuple[float, ...] = (1, 1, 1, 1, 1, 2 / 3, 0)
    decay: float = 0.05
    warm: float = 0.5  # epochs over which the rate first rises
    smoothing: float = 0.1
    shift: int = 6  # pixels, the largest shift of a picture at full size
    window: int = 78  # pixels, the smallest side of the random window that a reduced picture shows


# The plain network is only a control: a third of the pictures, a few minutes on one core.
PLAIN = Settings(
    pictures=4_400, batch=32, rate=3e-3, sides=(48,) * 7 + (64, 96), shares=(1.0,) * 8 + (2 / 3, 0)
)


def train(
    out_path: str | os.PathLike[str],
    *,
    seed: int = 0,
    device: str = "auto",
    kind: str = "residual",
    settings: Settings | None = None,
    progress: Reporter | None = None,
) -> dict[str, Any]:
    """Train a network of NETWORKS; write `weights.safetensors` and `training.json` into the folder `out_path`.

    The folder also keeps the drawings, and a checkpoint after each epoch from which an interrupted run resumes.

    seed: of weights and batches, unless `settings` are given; device: as `choose_device` takes it; kind: of
    NETWORKS. Returns the content of `training.json`.
    """
    started = time.monotonic()
    settings = settings or (Settings(seed=seed) if kind == "residual" else replace(PLAIN, seed=seed))
    reporter = progress or Reporter()
    folder = Path(out_path)
    folder.mkdir(parents=True, exist_ok=True)
    _tune_allocator()
    _seed_all(settings.seed)
    chosen_device = choose_device(device)
    pictures = _drawn("drawing, to learn from", settings.pictures, TRAIN_SEED, folder, reporter)
    held_out = _drawn("drawing, held out", settings.held_out, HELD_OUT_SEED, folder, reporter)

    network = NETWORKS[kind](len(CLASSES)).to(chosen_device).to(memory_format=torch.channels_last)
    curve, before = _fit(network, pictures, held_out, settings, folder, reporter)
    predicted = measure.predictions(network, held_out)
    seconds = before + time.monotonic() - started
    record = _record(settings, predicted, curve, seconds, chosen_device)
    _save(network, record, folder)
    reporter.say(f"accuracy {record['accuracy']:.4f} on {settings.held_out:,} held-out drawings")
    return record


def _drawn(name: str, count: int, seed: int, folder: Path, reporter: Reporter) -> NDArray[np.uint8]:
    with reporter.stage(name, count, "pictures") as advance:
        return pool.drawings(count, seed, folder, progress=advance)


def _fit(
    network: nn.Module,
    pictures: NDArray[np.uint8],
    held_out: NDArray[np.uint8],
    settings: Settings,
    folder: Path,
    reporter: Reporter,
) -> tuple[list[float], float]:
    """Train for all epochs. Returns the mean loss of each epoch, and the seconds of earlier, interrupted runs."""
    device = next(network.parameters()).device
    per_epoch = len(pictures) // settings.batch
    steps = per_epoch * len(settings.sides)
    optimiser = torch.optim.AdamW(
        _groups(network, settings.decay), lr=settings.rate, fused=device.type in ("cpu", "cuda")
    )
    checkpoint = folder / f"checkpoint-{pool.fingerprint()}.pt"
    curve: list[float] = []
    before = 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        if state["run"] == _run(settings, len(state["curve"])):
            network.load_state_dict(state["network"])
            optimiser.load_state_dict(state["optimiser"])
            curve, before = state["curve"], state["seconds"]
    started = time.monotonic()
    done = len(curve) * per_epoch * settings.batch
    with reporter.stage("training", steps * settings.batch, "pictures", done=done) as advance:
        for epoch in range(len(curve), len(settings.sides)):
            curve.append(_epoch(network, pictures, settings, epoch, optimiser, advance))
            # Progress on some held-out drawings, for display only: nothing is selected by it.
            sample = held_out[: 10 * len(CLASSES)]
            correct = measure.predictions(network, sample) == np.arange(len(sample)) % len(CLASSES)
            reporter.say(
                f"epoch {epoch + 1} of {len(settings.sides)}: loss {curve[-1]:.4f}, "
                f"{correct.mean():.1%} correct on {len(sample)} held-out drawings"
            )
            state = {
                "run": _run(settings, len(curve)),
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "curve": curve,
                "seconds": before + time.monotonic() - started,
            }
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    return curve, before


def _run(settings: Settings, done: int) -> str:
    """All that the first `done` epochs depend on, as a text. Runs that share it can resume from the same checkpoint."""
    planned = asdict(settings)
    planned["sides"] = settings.sides[:done]
    planned["shares"] = settings.shares[: done + 1]
    return json.dumps(planned)


def _rate(settings: Settings, epoch: float) -> float:
    """The learning rate at a time in epochs from the start."""
    rising = min((epoch + 0.01) / settings.warm, 1.0)
    return settings.rate * rising * float(np.interp(epoch, range(len(settings.shares)), settings.shares))


def _epoch(
    network: nn.Module,
    pictures: NDArray[np.uint8],
    settings: Settings,
    epoch: int,
    optimiser: torch.optim.Optimizer,
    advance: Advance,
) -> float:
    """One pass over the pictures, shuffled by seed and epoch; returns the mean loss."""
    network.train()
    device = next(network.parameters()).device
    total, count = 0.0, 0
    steps = len(pictures) // settings.batch
    for batch, labels in _batches(pictures, settings, epoch, device):
        for group in optimiser.param_groups:
            group["lr"] = _rate(settings, epoch + count / steps)
        loss = functional.cross_entropy(network(batch), labels, label_smoothing=settings.smoothing)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        total += float(loss.detach())
        count += 1
        advance(len(labels))
    return total / count


def _batches(
    pictures: NDArray[np.uint8], settings: Settings, epoch: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled, mirrored, recoloured and shifted pictures (B, 3, S, S) with their labels (B,)."""
    rng = np.random.default_rng([settings.seed, epoch])
    order = rng.permutation(len(pictures))
    side = settings.sides[epoch]
    for start in range(0, len(order) - settings.batch + 1, settings.batch):
        picked = np.sort(order[start : start + settings.batch])
        labels = picked % len(CLASSES)
        chosen = pictures[picked]  # (B, 96, 96, 3), a copy
        flipped = (rng.random(len(picked)) < 0.5) & _MIRROR[labels]
        chosen[flipped] = chosen[flipped][:, :, ::-1]
        # No class depends on its colours, so red, green and blue are permuted. A whole batch is recoloured and shifted
        # in the same way, which is cheap and, over many batches, as good as picture by picture.
        chosen = chosen[..., rng.permutation(3)]
        if side == DEMO_SIDE:
            down, right = rng.integers(-settings.shift, settings.shift + 1, 2)
            chosen = _moved(chosen, int(down), int(right))
        else:
            window = int(rng.integers(settings.window, DEMO_SIDE + 1))
            top, left = rng.integers(0, DEMO_SIDE - window + 1, 2)
            chosen = chosen[:, top : top + window, left : left + window]
        batch = measure.prepared(np.ascontiguousarray(chosen), device)
        if side != DEMO_SIDE:
            batch = functional.interpolate(batch, size=(side, side), mode="area")
        yield batch.contiguous(memory_format=torch.channels_last), torch.from_numpy(labels).to(device)


def _moved(pictures: NDArray[np.uint8], down: int, right: int) -> NDArray[np.uint8]:
    """Pictures (B, H, W, 3) shifted by whole pixels. New pixels repeat the border."""
    rows = np.clip(np.arange(pictures.shape[1]) - down, 0, pictures.shape[1] - 1)
    columns = np.clip(np.arange(pictures.shape[2]) - right, 0, pictures.shape[2] - 1)
    return pictures[:, rows][:, :, columns]


def _groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Parameter groups: weight decay for weights, none for BatchNorm's scales and all offsets."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]


def _record(
    settings: Settings, predicted: NDArray[np.int64], curve: list[float], seconds: float, device: torch.device
) -> dict[str, Any]:
    labels = np.arange(len(predicted)) % len(CLASSES)
    correct = predicted == labels
    wrong: dict[tuple[str, str], int] = {}
    for label, guess in zip(labels[~correct], predicted[~correct], strict=True):
        pair = (CLASSES[label], CLASSES[guess])
        wrong[pair] = wrong.get(pair, 0) + 1
    commonest = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:20]
    return {
        "accuracy": float(correct.mean()),
        "held_out": len(predicted),
        "class_accuracy": {name: float(correct[labels == i].mean()) for i, name in enumerate(CLASSES)},
        "taken_for": [{"class": pair[0], "taken for": pair[1], "times": times} for pair, times in commonest],
        "loss": [round(value, 4) for value in curve],
        "settings": asdict(settings),
        "train_seed": TRAIN_SEED,
        "held_out_seed": HELD_OUT_SEED,
        "drawings": pool.fingerprint(),
        "seconds": round(seconds),
        "machine": _machine(device),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "torchvision": str(torchvision.__version__),
            "numpy": np.__version__,
            "pillow": PIL.__version__,
        },
    }


def _save(network: nn.Module, record: dict[str, Any], folder: Path) -> None:
    tensors = {name: value.float().cpu().contiguous() for name, value in network.state_dict().items()}
    # Integers, such as BatchNorm's count of batches, keep their type.
    for name, value in network.state_dict().items():
        if not value.is_floating_point():
            tensors[name] = value.cpu()
    metadata = {
        "classes": json.dumps(CLASSES),
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "accuracy": f"{record['accuracy']:.4f}",
        "seed": str(record["settings"]["seed"]),
        "pictures": str(record["settings"]["pictures"]),
        "epochs": str(len(record["settings"]["sides"])),
        "versions": json.dumps(record["versions"]),
    }
    safetensors.torch.save_file(tensors, folder / "weights.safetensors", metadata)
    (folder / "weights.safetensors").chmod(0o644)  # safetensors writes files that only the owner can read
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return f"{name}, {torch.get_num_threads()} threads"


def _seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _tune_allocator() -> None:
    """Keep freed memory in the process. By default glibc returns large blocks to the system and faults every page in
    again, which doubles the time of a training step on a CPU."""
    with suppress(OSError, AttributeError):  # only glibc has mallopt
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def main() -> None:
    """Train from the command line, with an output folder, a seed and a device."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for weights.safetensors and training.json")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches (default 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    arguments = parser.parse_args()
    train(arguments.out, seed=arguments.seed, device=arguments.device)


if __name__ == "__main__":
    main()
