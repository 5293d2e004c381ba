"""The command line. A command is thin and imports what it needs when it is called. An AtlasError ends it with one
sentence."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import generator
from generator.core.errors import AtlasError

BUILD, SITE = Path("build"), Path("site")


class _Atlas(click.Group):
    """Catches AtlasError once, for every command."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AtlasError as error:
            from generator.core.progress import printable

            # Names of files and classes may hold any character.
            click.echo(f"atlas: {printable(str(error))}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("atlas: stopped — run the same command again to resume", err=True)
            ctx.exit(130)


@click.group(cls=_Atlas, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(generator.__version__, prog_name="atlas")
def main() -> None:
    """Turn a trained residual network and a folder of pictures into a browsable atlas of its features."""


class _Numbers(click.ParamType):
    """Numbers with a separator between them: `0.485,0.456,0.406`, `224x320`. counts: how many numbers are allowed; one
    value becomes a number, several become a list."""

    def __init__(self, name: str, kind: type, separator: str, counts: tuple[int, ...]) -> None:
        self.name, self.kind, self.separator, self.counts = name, kind, separator, counts

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        parts = str(value).lower().split(self.separator)
        try:
            numbers = [self.kind(part) for part in parts]
        except ValueError:
            numbers = []
        if len(numbers) not in self.counts:
            self.fail(f"{value!r} is not of the form {self.name}", param, ctx)
        return numbers if len(numbers) > 1 else numbers[0]


_CHANNELS = _Numbers("R,G,B (one number per channel)", float, ",", (1, 2, 3, 4))
_SIZE = _Numbers("N or HxW", int, "x", (1, 2))
_FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")


def _with_options(command: Any, options: Sequence[Any]) -> Any:
    """A command with these options, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def preprocessing_options(command: Any) -> Any:
    """Add the options that say how a picture is preprocessed."""
    options = (
        click.option(
            "--mean",
            type=_CHANNELS,
            metavar="R,G,B",
            help="Mean of each input channel that the network was trained with: three colours, or one number for grey.",
        ),
        click.option(
            "--std",
            type=_CHANNELS,
            metavar="R,G,B",
            help="Standard deviation of each input channel that the network was trained with.",
        ),
        click.option(
            "--range",
            "value_range",
            type=click.Choice(["1", "255"]),
            help="Largest value of a colour at the network's input; --mean and --std are in the same units.",
        ),
        click.option(
            "--resize",
            type=_SIZE,
            metavar="N",
            help="Resize the shorter side to N px (0: do not resize), or the picture to HxW px.",
        ),
        click.option(
            "--crop",
            type=_SIZE,
            metavar="N",
            help="Side in px of the central square that is cut out, or HxW px of a rectangle (height x width).",
        ),
        click.option(
            "--fit",
            type=click.Choice(["shorter", "squash"]),
            help="'shorter' keeps the aspect ratio when resizing, 'squash' resizes to a square or to the crop.",
        ),
        click.option("--interpolation", type=click.Choice(_FILTERS), help="Filter used for resizing."),
        click.option(
            "--like-imagefolder",
            is_flag=True,
            help="Read pictures as torchvision's ImageFolder does: drop transparency, ignore EXIF orientation.",
        ),
        click.option(
            "--bits", type=click.IntRange(8, 16), help="Significant bits of 16-bit greyscale files, e.g. 12."
        ),
    )
    return _with_options(command, options)


def _preprocessing(options: dict[str, Any]) -> dict[str, Any]:
    """The profile's keys for these options; None where an option was not given."""
    as_image_folder = options["like_imagefolder"] or None
    given = {name: options[name] for name in ("mean", "std")}
    return {
        **{name: [value] if isinstance(value, float) else value for name, value in given.items()},
        **{name: options[name] for name in ("resize", "crop", "fit", "interpolation", "bits")},
        "range": None if options["value_range"] is None else int(options["value_range"]),
        "transparency": as_image_folder and "drop",
        "exif": None if as_image_folder is None else False,
    }


class _Pair(click.ParamType):
    """`key=value`. literal: whether the value is read as JSON or as a literal of Python, and as text only where it is
    neither."""

    def __init__(self, name: str, *, literal: bool) -> None:
        self.name, self.literal = name, literal

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        key, separator, text = str(value).partition("=")
        if not separator or not key.strip():
            self.fail(f"{value!r} is not of the form {self.name}", param, ctx)
        return key.strip(), _literal(text) if self.literal else text.strip()


def _literal(text: str) -> Any:
    import ast
    import json

    for read in (json.loads, ast.literal_eval):
        try:
            return read(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text


def model_options(command: Any) -> Any:
    """Add the options that say how the network's function is called and what its layers are called."""
    options = (
        click.option(
            "--arg",
            "args",
            multiple=True,
            type=_Pair("key=value", literal=True),
            metavar="KEY=VALUE",
            help="Argument of the network's function, e.g. 'replace_stride_with_dilation=[false,true,true]'; may be "
            "repeated.",
        ),
        click.option(
            "--layer",
            "layer_names",
            multiple=True,
            type=_Pair("name=path", literal=False),
            metavar="NAME=PATH",
            help="Name for the layer at the path of a module, e.g. mid=features.3; may be repeated.",
        ),
    )
    return _with_options(command, options)


_MODEL_HELP = "The network: a name (see: atlas list models), path/to/file.py:NAME or package.module:NAME."


_FILE = "a checkpoint of torch or a safetensors file, recognised by its content"


def weights_key_option() -> Any:
    """The option that says which tensors of a file are meant."""
    return click.option(
        "--weights-key",
        metavar="KEY",
        help="Which set of tensors in the weights file, where several fit: 'state_dict_ema', 'teacher'.",
    )


def classes_option() -> Any:
    """The option that names the network's outputs."""
    return click.option(
        "--classes",
        type=click.Path(path_type=Path),
        help="File with the names of the network's classes, one per line.",
    )


def head_option() -> Any:
    """The option that says how the network's outputs are read."""
    return click.option(
        "--head",
        type=click.Choice(["softmax", "sigmoid", "none"]),
        help="How the network's outputs are read: softmax (one class of several), sigmoid (each class by itself) or "
        "none (plain scores)  [default: softmax, or sigmoid where there is one output]",
    )


def profile_options(command: Any) -> Any:
    """Add the options that change a profile for one run."""
    command = model_options(preprocessing_options(command))
    options = (
        click.option(
            "--name", help="Name of the atlas, used for its folder and addresses  [default: the profile's]"
        ),
        click.option(
            "--images",
            type=click.Path(path_type=Path),
            help="Folder of pictures, searched with all its subfolders.",
        ),
        click.option(
            "--labels",
            type=click.Path(path_type=Path),
            help="Label file, 'folders' (each top folder is a class) or 'none'.",
        ),
        click.option(
            "--trained-on",
            type=click.Choice(["yes", "no"]),
            help="Whether the network was trained on these pictures; the site states it next to the accuracy.",
        ),
        click.option(
            "--visual-features",
            type=click.Path(path_type=Path),
            help="Folder of an atlas of the same pictures, whose network says how alike pictures look.",
        ),
        click.option("--model", help=_MODEL_HELP),
        click.option("--weights", help=f"Weights: {_FILE}, a torchvision enum name, or 'random'."),
        weights_key_option(),
        classes_option(),
        head_option(),
        click.option("--layers", help="Layers to show: 'blocks', 'all', or names separated by commas."),
        click.option(
            "--channels",
            type=click.IntRange(min=1),
            help="Make pictures for the first N channels of each layer only.",
        ),
        click.option(
            "--limit", type=click.IntRange(min=1), help="Use N pictures, evenly spaced through the folder."
        ),
        click.option(
            "--kernels",
            multiple=True,
            metavar="MODEL[=WEIGHTS]",
            help="Also show the first kernels of this network; may be repeated.",
        ),
        click.option("--batch", type=click.IntRange(min=1), help="Number of pictures read at a time."),
        click.option(
            "--workers",
            type=click.IntRange(min=0),
            help="Number of processes that decode and encode pictures.",
        ),
        click.option(
            "--no-cache",
            is_flag=True,
            help="Do not keep decoded pixels on the disk during the run: decode pictures for each pass.",
        ),
        click.option(
            "--precision",
            type=click.Choice(["fp32", "tf32", "bf16"]),
            help="Precision of the forward pass over the pictures.",
        ),
        click.option("--device", help="cpu, cuda or cuda:1  [default: the fastest there is]"),
    )
    return _with_options(command, options)


def _profile(name: str | None, options: dict[str, Any]) -> Any:
    """The profile of this name or file, changed by the options. Without a name: the profile of the model that --model
    names, or default settings."""
    from generator.stages import profile

    if name is None and options["model"] is None:
        raise AtlasError("no profile", remedy="name one (atlas list profiles), or a network with --model")
    chosen = profile.of_model(options["model"]) if name is None else profile.load(name)

    layers = options["layers"]
    which = layers if layers in (None, "blocks", "all") else [part.strip() for part in layers.split(",")]
    text = {
        key: None if options[key] is None else str(options[key])
        for key in ("images", "labels", "classes", "visual_features")
    }
    return chosen.changed(
        name=options["name"],
        network={"classes": text["classes"], "args": {**chosen.network.args, **dict(options["args"])} or None}
        | {key: options[key] for key in ("model", "weights", "weights_key", "head")},
        pictures={
            "folder": text["images"],
            "labels": text["labels"],
            "visual_features": text["visual_features"],
            "limit": options["limit"],
            "trained_on": None if options["trained_on"] is None else options["trained_on"] == "yes",
            **_preprocessing(options),
        },
        layers={
            "which": which,
            "channels": options["channels"],
            "names": {**chosen.layers.names, **dict(options["layer_names"])} or None,
        },
        kernels={"others": [_other(text) for text in options["kernels"]] or None},
        compute={key: options[key] for key in ("batch", "workers", "precision", "device")}
        | {"cache": False if options["no_cache"] else None},
    )


def _other(text: str) -> dict[str, str]:
    model, _, weights = text.partition("=")
    return {"model": model} | ({"weights": weights} if weights else {})


descriptions_option = click.option(
    "--descriptions",
    multiple=True,
    metavar="FILE.csv",
    help="Table of descriptions of channels (layer, unit, description, score) that the pages show; may be repeated; "
    "NAME=FILE.csv for one of several atlases.",
)
scores_option = click.option(
    "--scores",
    is_flag=True,
    help="Publish every channel's score on every picture and its mean contribution to every class too, in half "
    "precision: two bytes each.",
)
parquet_option = click.option(
    "--parquet",
    is_flag=True,
    help="Publish the table of all channels as Parquet too; needs pyarrow.",
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Print what would be computed and how long it would take, and stop."
)


@main.command()
@click.argument("profile", required=False)
@click.option("--out", type=click.Path(path_type=Path), help="Atlas folder to write  [default: build/<name>]")
@dry_run_option
@profile_options
def compute(profile: str | None, out: Path | None, dry_run: bool, **options: Any) -> None:
    """Compute the atlas of PROFILE.

    PROFILE is a name (see: atlas list profiles) or the path of a TOML file. It may be left out where --model names the
    network. A run that was stopped resumes.
    """
    from generator.stages.pipeline import compute as run

    chosen = _profile(profile, options)
    run(chosen, out or BUILD / chosen.name, dry_run=dry_run)


@main.command()
@click.argument("atlas", type=click.Path(path_type=Path))
@click.option(
    "--images", type=click.Path(path_type=Path), help="Folder where the pictures are now, if they were moved."
)
@click.option("--weights", help="Where the weights are now, if they were moved.")
@click.option("--model", help="Where the network's Python file is now, if it was moved.")
@click.option(
    "--units",
    type=click.IntRange(min=0),
    default=45,
    show_default=True,
    help="Number of units to compute again.",
)
@click.option("--seed", default=0, show_default=True, help="Seed for choosing the units.")
@click.option("--device", default="auto", help="cpu, cuda or cuda:1  [default: the fastest there is]")
def verify(
    atlas: Path,
    images: Path | None,
    weights: str | None,
    model: str | None,
    units: int,
    seed: int,
    device: str,
) -> None:
    """Check that the files of ATLAS, a folder, are undamaged and its numbers correct.

    Every file is compared with its checksum, and some units are computed again.
    """
    from generator.stages.verify import Sources
    from generator.stages.verify import verify as run

    report = run(atlas, Sources(images, weights, device, model), units=units, seed=seed)
    for line in (*report.notes, *report.differences):
        click.echo(line)
    if not report.is_right:
        raise AtlasError(
            f"{len(report.differences)} differences, listed above",
            atlas,
            "atlas compute repairs damaged files; other differences mean other pictures, weights or software",
        )
    rest = report.units - report.exact
    click.echo(
        f"{atlas}: {report.files:,} files match their checksums; of {report.units} units computed again "
        f"{report.exact} are bit for bit the same" + (f", {rest} within the tolerances" if rest else "")
    )


@main.command()
@click.argument("atlases", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=SITE, show_default=True, help="Folder of the site."
)
@click.option(
    "--base-url",
    default="",
    help="Address at which the site will be published; citations then give full addresses.",
)
@descriptions_option
@scores_option
@parquet_option
def render(atlases: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Render one or more computed ATLASES into a site. Needs no torch."""
    _render(atlases, out, **options)


@main.command()
@click.argument("profiles", nargs=-1)
@click.option(
    "--out", type=click.Path(path_type=Path), default=SITE, show_default=True, help="Folder of the site."
)
@click.option(
    "--build",
    type=click.Path(path_type=Path),
    default=BUILD,
    show_default=True,
    help="Folder of the atlases.",
)
@click.option(
    "--base-url",
    default="",
    help="Address at which the site will be published; citations then give full addresses.",
)
@descriptions_option
@scores_option
@parquet_option
@dry_run_option
@profile_options
def site(
    profiles: tuple[str, ...],
    out: Path,
    build: Path,
    base_url: str,
    descriptions: tuple[str, ...],
    scores: bool,
    parquet: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Compute and render PROFILES into one site.

    The size and the links of the site are checked. PROFILES may be left out where --model names the network.
    """
    from generator.stages.pipeline import compute as run

    chosen = [_profile(name, options) for name in profiles or (None,)]
    folders = [run(profile, build / profile.name, dry_run=dry_run, site=True).folder for profile in chosen]
    if dry_run:
        return
    own = [f"{profile.name}={path}" for profile in chosen for path in profile.site.descriptions]
    _render(
        folders,
        out,
        base_url=base_url,
        descriptions=[*own, *descriptions],
        max_bytes=max(profile.site.max_site_bytes for profile in chosen),
        scores=scores or any(profile.site.scores for profile in chosen),
        parquet=parquet or any(profile.site.parquet for profile in chosen),
    )


def _render(atlases: Sequence[Path], out: Path, **options: Any) -> None:
    from generator.core.progress import Reporter
    from generator.site.links import check_links
    from generator.site.render import render_site

    reporter = Reporter()
    with reporter.stages_by_call("pages") as progress:
        report = render_site(atlases, out, progress=progress, **options)
        broken = check_links(out, lambda done, total: progress("links", done, total))
    for note in report.notes:
        reporter.note(note)
    if broken:
        raise AtlasError(f"the site has {len(broken)} broken links, the first {broken[0]}", out)
    reporter.summary(
        f"{out / 'index.html'}: {report.written:,} pages written, {report.unchanged:,} unchanged, "
        f"{report.bytes['total'] / 1e6:,.1f} MB; no link is broken"
    )


@main.command()
@click.argument("folder", default=SITE, type=click.Path(path_type=Path))
@click.option("--port", default=8000, show_default=True, help="Port of 127.0.0.1 to listen on.")
def serve(folder: Path, port: int) -> None:
    """Serve a rendered site on this machine."""
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    if not (folder / "index.html").is_file():
        raise AtlasError("no site here", folder, "make one with: atlas site demo")
    try:
        server = ThreadingHTTPServer(
            ("127.0.0.1", port), partial(SimpleHTTPRequestHandler, directory=str(folder))
        )
    except OSError as error:
        raise AtlasError(
            f"port {port} cannot be opened ({error.strerror})", remedy="choose another --port"
        ) from error
    click.echo(f"http://127.0.0.1:{port}/ — stop with Ctrl-C")
    with server:
        server.serve_forever()


@main.command()
@click.argument("picture", type=click.Path(path_type=Path))
@click.option("--model", required=True, help=_MODEL_HELP)
@click.option("--weights", help=f"Weights: {_FILE} or a torchvision enum name.")
@weights_key_option()
@classes_option()
@head_option()
@click.option(
    "--class", "chosen", help="Class to explain, by name or number  [default: the one with the largest score]"
)
@click.option("--atlas", help="Pages of this network to link to: a folder such as site/demo, or an address.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Page to write  [default: the picture's name with .html]"
)
@preprocessing_options
@model_options
def explain(
    picture: Path,
    model: str,
    weights: str | None,
    weights_key: str | None,
    classes: Path | None,
    head: Any,
    chosen: str | None,
    atlas: str | None,
    out: Path | None,
    **options: Any,
) -> None:
    """Explain the network's prediction for PICTURE on one page.

    The page shows the prediction, the saliency and guided backpropagation of the class, and the channels that
    contribute most to it.
    """
    import torch

    from generator.core.files import write_atomically
    from generator.core.progress import printable
    from generator.methods.explaining import explain as run
    from generator.site.explanation_page import explanation_html
    from generator.stages import profile as profiles
    from generator.stages.opening import open_whole

    if atlas and not atlas.startswith(("http://", "https://")) and not Path(atlas).is_dir():
        raise AtlasError(
            "no atlas pages here", atlas, "name the network's folder of a rendered site, or its address"
        )
    wanted = profiles.validated({"name": "explain", "network": {"model": model}}, model).changed(
        network={
            "weights": weights,
            "weights_key": weights_key,
            "classes": None if classes is None else str(classes),
            "head": head,
            "args": dict(options["args"]),
        },
        pictures=_preprocessing(options),
        layers={"names": dict(options["layer_names"])},
    )
    network = open_whole(wanted).to("cpu", torch.float32)
    if note := network.weights.note:
        click.echo(printable(f"weights: {note}"), err=True)
    if assumption := network.preprocessing.assumption:
        click.echo(f"{assumption} (--mean, --std)", err=True)
    page = out or Path(f"{picture.stem}.html")
    explanation = run(network, picture, chosen)
    about = {
        "picture": picture.name,
        "model": network.model,
        "weights": network.weights.source,
        "weights_note": network.weights.note,
        "size_words": network.preprocessing.size_words,
        "values_words": network.preprocessing.values_words,
        "display_words": network.preprocessing.display_words,
        "file_words": network.preprocessing.file_words,
        "source": network.preprocessing.source,
        "assumption": network.preprocessing.assumption,
    }
    write_atomically(page, explanation_html(explanation, about, atlas, page).encode("utf-8", "replace"))
    click.echo(printable(f"{page}: {explanation.answer} — {explanation.head.advice}"))


@main.group(name="list")
def list_() -> None:
    """List profiles, models, methods, or the layers of a model."""


@list_.command(name="profiles")
def list_profiles() -> None:
    """List the profiles that come with the package."""
    from generator.stages import profile

    for name in profile.names():
        click.echo(f"{name:<22}{profile.load(name).title}")


@list_.command(name="models")
def list_models() -> None:
    """List the networks that can be loaded."""
    from generator.network import models

    for name in models.names():
        click.echo(name)
    click.echo(
        "FILE.py:NAME          the network that a function or class of this name in a Python file returns\n"
        "PACKAGE.MODULE:NAME   the same of an installed package\n"
        "timm/NAME             timm's network of that name (pip install 'timm>=1.0')\n"
        "study/KIND-DEPTH      one of the small networks that `atlas experiments` trains, with its weights"
    )


@list_.command(name="methods")
def list_methods() -> None:
    """List the methods with one sentence each."""
    import ast
    from importlib import resources

    for file in sorted((resources.files("generator") / "methods").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py") and not file.name.startswith("_"):
            about = (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").splitlines()[0]
            click.echo(f"{file.name[:-3]:<16}{about}")


@list_.command(name="layers")
@click.argument("model")
@click.option(
    "--weights", help="A file of weights, which may decide the number of outputs  [default: random]"
)
@click.option("--crop", type=_SIZE, metavar="N", help="Side in px of the pictures, or HxW.")
@model_options
def list_layers(model: str, weights: str | None, crop: Any, args: Any, layer_names: Any) -> None:
    """List the layers of MODEL with their sizes.

    MODEL is a name (see: atlas list models), path/to/file.py:NAME or package.module:NAME.
    """
    from generator.network import models

    size = (crop[0], crop[1]) if isinstance(crop, list) else crop
    network = models.load(model, weights or "random", args=dict(args), size=size, layers=dict(layer_names))
    path_width = max(24, *(len(layer.path) + 2 for layer in network.layers))
    name_width = max(22, *(len(layer.name) + 2 for layer in network.layers))
    module = "module" if models.find(model, dict(args)).is_own else "torchvision"
    click.echo(
        f"{'layer':<{name_width}}{module:<{path_width}}{'kind':<12}{'channels':>8}{'map':>10}{'field px':>10}"
        f"{'stride':>8}"
    )
    for layer in network.layers:
        field = layer.receptive_field
        size_ = f"{layer.height}×{layer.width}"
        click.echo(
            f"{layer.name:<{name_width}}{layer.path:<{path_width}}{layer.kind:<12}{layer.channels:>8}{size_:>10}"
            f"{field.side:>10}{field.stride:>8.3g}"
        )


class _Depths(click.ParamType):
    """Numbers of layers, each 6 n + 2, separated by commas, rising."""

    name = "depths"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        parts = str(value).split(",")
        depths = [int(part) for part in parts if part.strip().isdigit()]
        fits = len(depths) == len(parts) > 1 and depths == sorted(set(depths))
        if not fits or any(depth < 8 or depth % 6 != 2 for depth in depths):
            self.fail(f"{value!r} is no rising list of two or more of 8, 14, 20 …", param, ctx)
        return tuple(depths)


@main.command()
@click.argument("names", nargs=-1)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=BUILD / "experiments",
    show_default=True,
    help="Folder of the trained networks and tables.",
)
@click.option(
    "--seeds",
    default=10,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many networks of each kind to train at most, each from its own seed: degradation and lesion train as "
    "many, the others at most 5.",
)
@click.option(
    "--depths",
    type=_Depths(),
    metavar="N,N",
    help="Layers of the plain and residual networks, 6n + 2 each, the shallowest first  [default: 8,20,32,56]",
)
@click.option(
    "--device", default="cpu", show_default=True, help="cpu, cuda or cuda:1: where the networks are trained."
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="How many networks are trained at the same time  [default: one per core, at most 8]",
)
@click.option("--quick", is_flag=True, help="Use a tiny setting that only shows that everything works.")
@click.option(
    "--atlases", is_flag=True, help="Then compute an atlas of one network of each kind, in OUT/atlases."
)
def experiments(
    names: tuple[str, ...],
    out: Path,
    seeds: int,
    depths: tuple[int, ...] | None,
    device: str,
    jobs: int | None,
    quick: bool,
    atlases: bool,
) -> None:
    """Train small networks that compare the papers' designs.

    NAMES are degradation, lesion, shortcuts, order, cardinality, refinement and zero-blocks; without NAMES all of them
    run. Every network is trained once, and a run that was stopped resumes. The report links to the networks' atlases
    where they are rendered together with another one: atlas render build/demo build/experiments/atlases/*
    """
    from dataclasses import replace

    from generator.core.processes import usual_processes
    from generator.experiments.running import EXPERIMENTS, run_experiments
    from generator.experiments.setting import QUICK, Setting

    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        raise AtlasError("unknown experiment", unknown[0], f"known: {', '.join(EXPERIMENTS)}")
    setting = replace(QUICK if quick else Setting(), seeds=tuple(range(seeds)))
    setting = replace(setting, depths=depths or setting.depths)
    chosen = names or tuple(EXPERIMENTS)
    jobs = jobs or usual_processes()
    for path in run_experiments(chosen, setting, out, device=device, processes=jobs if jobs > 1 else 0):
        click.echo(path)
    if atlases:
        from generator.experiments.studies import compute_studies

        for path in compute_studies(chosen, setting, out, device=device):
            click.echo(path)


@main.command()
@click.argument("model")
@click.option("--weights", help=f"Weights: {_FILE} or a torchvision enum name.")
@classes_option()
@click.option(
    "--images", required=True, type=click.Path(path_type=Path), help="Folder of pictures, at any depth."
)
@click.option("--limit", type=click.IntRange(min=9), help="The largest number of pictures, evenly spaced.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=BUILD / "lesions",
    show_default=True,
    help="Folder of the tables.",
)
def lesions(
    model: str, weights: str | None, classes: Path | None, images: Path, limit: int | None, out: Path
) -> None:
    """Take the blocks of the trained network MODEL apart, one at a time.

    One block loses its branch or its shortcut, or blocks of a stage are put into another order. The tables say how
    often the network is then right, and how many of its nine strongest pictures a channel of the blocks behind keeps.
    A run that was stopped resumes where it is called again. The network is a residual network of torchvision, for
    CIFAR, of Caffe, the demo's, or one that `atlas experiments` trained.
    """
    from generator.experiments.real_lesions import write_lesions

    for path in write_lesions(model, weights, images, limit, out, classes=classes):
        click.echo(path)


@main.group()
def demo() -> None:
    """Draw the demo's pictures, train its networks."""


@demo.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("build/demo-training"),
    show_default=True,
    help="Folder to write to.",
)
@click.option(
    "--seed", default=0, show_default=True, help="Seed of the weights and of the order of pictures."
)
@click.option(
    "--device", default="auto", show_default=True, help="cpu, cuda or cuda:1; auto is the fastest there is."
)
@click.option(
    "--kind",
    type=click.Choice(["residual", "plain"]),
    default="residual",
    show_default=True,
    help="With shortcuts or, as a control, without.",
)
def train(out: Path, seed: int, device: str, kind: str) -> None:
    """Train the demo network (a few minutes on a GPU, under an hour on two cores)."""
    from generator.experiments.demo_training import train as run

    run(out, seed=seed, device=device, kind=kind)


@demo.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--count", default=2000, show_default=True, help="Number of pictures.")
def draw(folder: Path, count: int) -> None:
    """Write drawn pictures into FOLDER, one subfolder per class."""
    from generator.core.progress import Reporter
    from generator.pictures.drawn.gallery import draw_pictures

    with Reporter().stage("drawing pictures", count, "pictures") as advance:
        draw_pictures(folder, count, progress=advance)


if __name__ == "__main__":
    sys.exit(main())
