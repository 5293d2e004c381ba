"""The command line: parses, calls, and turns the one error type into one sentence."""

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

            click.echo(
                f"atlas: {printable(str(error))}", err=True
            )  # names of files and classes may hold anything
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("atlas: stopped — run the same command again and it goes on from here", err=True)
            ctx.exit(130)


@click.group(cls=_Atlas, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(generator.__version__, prog_name="atlas")
def main() -> None:
    """Turn a trained residual network and a folder of pictures into a browsable atlas of its features."""


class _Numbers(click.ParamType):
    """Numbers with a separator between them: `0.485,0.456,0.406`, `224x320`. count: how many, one or more choices;
    a single one is given as it is."""

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


_COLOURS = _Numbers("R,G,B", float, ",", (3,))
_SIZE = _Numbers("N or HxW", int, "x", (1, 2))
_FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")


def preprocessing_options(command: Any) -> Any:
    """The options that say what is done to a picture before the network sees it."""
    options = (
        click.option(
            "--mean", type=_COLOURS, metavar="R,G,B", help="Mean that the network was trained with."
        ),
        click.option("--std", type=_COLOURS, metavar="R,G,B", help="Standard deviation, likewise."),
        click.option(
            "--range",
            "value_range",
            type=click.Choice(["1", "255"]),
            help="Largest value of a colour, for --mean and --std too.",
        ),
        click.option("--resize", type=_SIZE, metavar="N", help="Shorter side in px, 0 for none; or HxW."),
        click.option("--crop", type=_SIZE, metavar="N", help="Side of the central square in px."),
        click.option(
            "--fit",
            type=click.Choice(["shorter", "squash"]),
            help="'squash' resizes to a square whatever the aspect ratio.",
        ),
        click.option("--interpolation", type=click.Choice(_FILTERS), help="Filter for resizing."),
        click.option(
            "--like-imagefolder",
            is_flag=True,
            help="As torchvision's ImageFolder: transparency dropped, EXIF orientation ignored.",
        ),
        click.option(
            "--bits", type=click.IntRange(8, 16), help="Of greyscale samples in files of 16 bits, e.g. 12."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _preprocessing(options: dict[str, Any]) -> dict[str, Any]:
    """The profile's keys for these options; None where an option was not given."""
    as_image_folder = options["like_imagefolder"] or None
    return {
        **{name: options[name] for name in ("mean", "std", "resize", "crop", "fit", "interpolation", "bits")},
        "range": None if options["value_range"] is None else int(options["value_range"]),
        "transparency": as_image_folder and "drop",
        "exif": None if as_image_folder is None else False,
    }


def head_option() -> Any:
    return click.option(
        "--head",
        type=click.Choice(["softmax", "sigmoid", "none"]),
        help="How the network's outputs are read: one class of several, each by itself, or as plain scores  "
        "[default: softmax, of one output sigmoid]",
    )


def profile_options(command: Any) -> Any:
    """The options that change a profile for one run."""
    command = preprocessing_options(command)
    options = (
        click.option("--name", help="Another name than the profile's: the atlas's folder and addresses."),
        click.option("--images", type=click.Path(path_type=Path), help="Folder of pictures."),
        click.option(
            "--labels",
            type=click.Path(path_type=Path),
            help="Label file; or 'folders' (each top folder is a class), 'none'.",
        ),
        click.option("--model", help="Network to look at (see: atlas list models)."),
        click.option("--weights", help="File (.safetensors, .pt, .pth), torchvision enum name, or 'random'."),
        click.option(
            "--classes", type=click.Path(path_type=Path), help="Class names of the network, one a line."
        ),
        head_option(),
        click.option("--layers", help="'blocks', 'all', or names separated by commas."),
        click.option(
            "--channels",
            type=click.IntRange(min=1),
            help="How many channels of each layer to picture: the first ones.",
        ),
        click.option("--limit", type=click.IntRange(min=1), help="How many pictures to use, evenly spaced."),
        click.option(
            "--kernels",
            multiple=True,
            metavar="MODEL[=WEIGHTS]",
            help="Show this network's first kernels next to your network's; may be repeated.",
        ),
        click.option("--batch", type=click.IntRange(min=1), help="Pictures read at a time."),
        click.option(
            "--workers", type=click.IntRange(min=0), help="Processes that decode and encode pictures."
        ),
        click.option(
            "--precision", type=click.Choice(["fp32", "tf32", "bf16"]), help="Of the scan's forward."
        ),
        click.option("--device", help="cpu, cuda, cuda:1, mps; the best there is by default."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _profile(name: str | None, options: dict[str, Any]) -> Any:
    """The profile of this name or file with the options' changes; where only --model names the network, the model's own
    profile or default settings."""
    from generator.stages import profile

    if name is None and options["model"] is None:
        raise AtlasError("no profile", remedy="name one (atlas list profiles), or a network with --model")
    chosen = profile.of_model(options["model"]) if name is None else profile.load(name)

    layers = options["layers"]
    which = layers if layers in (None, "blocks", "all") else [part.strip() for part in layers.split(",")]
    text = {
        key: None if options[key] is None else str(options[key]) for key in ("images", "labels", "classes")
    }
    return chosen.changed(
        name=options["name"],
        network={"classes": text["classes"]} | {key: options[key] for key in ("model", "weights", "head")},
        pictures={
            "folder": text["images"],
            "labels": text["labels"],
            "limit": options["limit"],
            **_preprocessing(options),
        },
        layers={"which": which, "channels": options["channels"]},
        kernels={"others": [_other(text) for text in options["kernels"]] or None},
        compute={key: options[key] for key in ("batch", "workers", "precision", "device")},
    )


def _other(text: str) -> dict[str, str]:
    model, _, weights = text.partition("=")
    return {"model": model} | ({"weights": weights} if weights else {})


dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Say what would be done and how long it takes, and do nothing."
)


@main.command()
@click.argument("profile", required=False)
@click.option("--out", type=click.Path(path_type=Path), help="The atlas folder  [default: build/<name>]")
@dry_run_option
@profile_options
def compute(profile: str | None, out: Path | None, dry_run: bool, **options: Any) -> None:
    """Compute the atlas of PROFILE: a name (see: atlas list profiles) or the path of a TOML file. It may be left out
    where --model names the network."""
    from generator.stages.pipeline import compute as run

    chosen = _profile(profile, options)
    run(chosen, out or BUILD / chosen.name, dry_run=dry_run)


@main.command()
@click.argument("atlas", type=click.Path(path_type=Path))
@click.option("--images", type=click.Path(path_type=Path), help="Where its pictures lie today.")
@click.option("--weights", help="Where its weights lie today.")
@click.option(
    "--units", type=click.IntRange(min=0), default=45, show_default=True, help="So many to compute again."
)
@click.option("--seed", default=0, show_default=True, help="Another one draws other units.")
@click.option("--device", default="auto", help="cpu, cuda, cuda:1; the best there is by default.")
def verify(atlas: Path, images: Path | None, weights: str | None, units: int, seed: int, device: str) -> None:
    """Check every file of ATLAS, a folder, by its fingerprint, and compute some of its units anew."""
    from generator.stages.verify import Sources
    from generator.stages.verify import verify as run

    report = run(atlas, Sources(images, weights, device), units=units, seed=seed)
    for line in (*report.notes, *report.differences):
        click.echo(line)
    if not report.is_right:
        raise AtlasError(
            f"{len(report.differences)} differences, listed above",
            atlas,
            "atlas compute makes damaged files anew; other differences mean other pictures, weights or software",
        )
    rest = report.units - report.exact
    click.echo(
        f"{atlas}: {report.files:,} files as their checksums say; of {report.units} units computed again "
        f"{report.exact} are bit for bit the same" + (f", {rest} within the tolerances" if rest else "")
    )


@main.command()
@click.argument("atlases", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=SITE, show_default=True, help="The site folder."
)
@click.option("--base-url", default="", help="Where the site will live; citations then give full addresses.")
def render(atlases: tuple[Path, ...], out: Path, base_url: str) -> None:
    """Write the site of one or more computed ATLASES. Needs no torch."""
    _render(atlases, out, base_url, max_bytes=None)


@main.command()
@click.argument("profiles", nargs=-1)
@click.option(
    "--out", type=click.Path(path_type=Path), default=SITE, show_default=True, help="The site folder."
)
@click.option(
    "--build", type=click.Path(path_type=Path), default=BUILD, show_default=True, help="Holds the atlases."
)
@click.option("--base-url", default="", help="Where the site will live; citations then give full addresses.")
@dry_run_option
@profile_options
def site(
    profiles: tuple[str, ...], out: Path, build: Path, base_url: str, dry_run: bool, **options: Any
) -> None:
    """Compute and render PROFILES into one site, then check its size and its links. Where --model names the network
    they may be left out."""
    from generator.stages.pipeline import compute as run

    chosen = [_profile(name, options) for name in profiles or (None,)]
    folders = [run(one, build / one.name, dry_run=dry_run, site=True).folder for one in chosen]
    if dry_run:
        return
    _render(folders, out, base_url, max_bytes=max(one.site.max_site_bytes for one in chosen))


def _render(atlases: Sequence[Path], out: Path, base_url: str, max_bytes: int | None) -> None:
    from generator.core.progress import Reporter
    from generator.site.links import check_links
    from generator.site.render import render_site

    reporter = Reporter()
    with reporter.stages_by_call("pages") as progress:
        report = render_site(atlases, out, base_url=base_url, max_bytes=max_bytes, progress=progress)
        broken = check_links(out, lambda done, total: progress("links", done, total))
    if broken:
        raise AtlasError(f"the site has {len(broken)} broken links, the first {broken[0]}", out)
    reporter.summary(
        f"{out / 'index.html'}: {report.written:,} files written, {report.unchanged:,} unchanged, "
        f"{report.bytes['total'] / 1e6:,.1f} MB; every link leads somewhere"
    )


@main.command()
@click.argument("folder", default=SITE, type=click.Path(path_type=Path))
@click.option("--port", default=8000, show_default=True)
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
@click.option("--model", required=True, help="The network (see: atlas list models).")
@click.option("--weights", help="File (.safetensors, .pt, .pth) or torchvision enum name.")
@click.option("--classes", type=click.Path(path_type=Path), help="Class names of the network, one a line.")
@head_option()
@click.option(
    "--class", "chosen", help="The class to explain: name or number  [default: that of the largest score]"
)
@click.option("--atlas", help="The network's pages, for links: a folder such as site/demo, or an address.")
@click.option("--out", type=click.Path(path_type=Path), help="The page  [default: <picture's name>.html]")
@preprocessing_options
def explain(
    picture: Path,
    model: str,
    weights: str | None,
    classes: Path | None,
    head: Any,
    chosen: str | None,
    atlas: str | None,
    out: Path | None,
    **options: Any,
) -> None:
    """Explain what the network says of PICTURE: one page with its prediction, the class's saliency and guided
    backpropagation, and the channels that contribute most."""
    import torch

    from generator.core.files import write_atomically
    from generator.core.progress import printable
    from generator.methods.explaining import explain as run
    from generator.network import models
    from generator.site.explanation_page import explanation_html
    from generator.stages import profile as profiles
    from generator.stages.preprocessing import prepared

    if atlas and not atlas.startswith(("http://", "https://")) and not Path(atlas).is_dir():
        raise AtlasError(
            "no atlas pages here", atlas, "name the network's folder of a rendered site, or its address"
        )
    wanted = profiles.validated({"name": "explain", "network": {"model": model}}, model).changed(
        pictures=_preprocessing(options)
    )
    loaded = models.load(model, weights, classes=classes, head=head)
    network = prepared(loaded, wanted.pictures).to("cpu", torch.float32)
    if assumption := network.preprocessing.assumption:
        click.echo(f"{assumption} (--mean, --std)", err=True)
    page = out or Path(f"{picture.stem}.html")
    found = run(network, picture, chosen)
    about = {
        "picture": picture.name,
        "model": network.model,
        "weights": network.weights.source,
        "size_words": network.preprocessing.size_words,
        "values_words": network.preprocessing.values_words,
        "file_words": network.preprocessing.file_words,
        "source": network.preprocessing.source,
        "assumption": network.preprocessing.assumption,
    }
    write_atomically(page, explanation_html(found, about, atlas, page).encode("utf-8", "replace"))
    click.echo(printable(f"{page}: {found.answer} — {found.head.advice}"))


@main.group(name="list")
def list_() -> None:
    """Say what there is: profiles, models, methods, the layers of a model."""


@list_.command(name="profiles")
def list_profiles() -> None:
    """The profiles that come with the package."""
    from generator.stages import profile

    for name in profile.names():
        click.echo(f"{name:<22}{profile.load(name).title}")


@list_.command(name="models")
def list_models() -> None:
    """The networks that can be loaded."""
    from generator.network import models

    for name in models.names():
        click.echo(name)
    click.echo(
        "timm/NAME             timm's ResNet and ResNetV2 of that name (pip install 'timm>=1.0')\n"
        "study/KIND-DEPTH      one of the small networks that `atlas experiments` trains, with its weights"
    )


@list_.command(name="methods")
def list_methods() -> None:
    """The methods, one file each."""
    import ast
    from importlib import resources

    for file in sorted((resources.files("generator") / "methods").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py") and not file.name.startswith("_"):
            about = (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").splitlines()[0]
            click.echo(f"{file.name[:-3]:<16}{about}")


@list_.command(name="layers")
@click.argument("model")
def list_layers(model: str) -> None:
    """The layers of MODEL: both names, channels, map, receptive field."""
    from generator.network import models

    network = models.load(model, "random")
    click.echo(
        f"{'layer':<22}{'torchvision':<24}{'kind':<12}{'channels':>8}{'map':>10}{'field px':>10}{'stride':>8}"
    )
    for layer in network.layers:
        field = layer.receptive_field
        size = f"{layer.height}×{layer.width}"
        click.echo(
            f"{layer.name:<22}{layer.path:<24}{layer.kind:<12}{layer.channels:>8}{size:>10}"
            f"{field.side:>10}{field.stride:>8}"
        )


@main.command()
@click.argument("names", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), default=BUILD / "experiments", show_default=True)
@click.option(
    "--seeds", default=3, show_default=True, type=click.IntRange(min=1), help="Networks of each kind."
)
@click.option("--quick", is_flag=True, help="A tiny setting that only shows that all works.")
@click.option("--atlases", is_flag=True, help="Then an atlas of one network of each kind, in OUT/atlases.")
def experiments(names: tuple[str, ...], out: Path, seeds: int, quick: bool, atlases: bool) -> None:
    """Compare the papers' designs on the drawn world.

    NAMES are degradation, lesion, shortcuts, order, cardinality, refinement and zero-blocks; all where left out. Every
    network is trained once; a run that is stopped goes on. Rendered with another atlas (atlas render build/demo
    build/experiments/atlases/*), the networks' atlases are linked from the report.
    """
    from dataclasses import replace

    from generator.experiments.running import EXPERIMENTS, run_experiments
    from generator.experiments.setting import QUICK, Setting

    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        raise AtlasError("unknown experiment", unknown[0], f"known: {', '.join(EXPERIMENTS)}")
    setting = replace(QUICK if quick else Setting(), seeds=tuple(range(seeds)))
    chosen = names or tuple(EXPERIMENTS)
    for path in run_experiments(chosen, setting, out):
        click.echo(path)
    if atlases:
        from generator.experiments.studies import compute_studies

        for path in compute_studies(chosen, setting, out):
            click.echo(path)


@main.group()
def demo() -> None:
    """The drawn world and the small networks trained on it."""


@demo.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("build/demo-training"), show_default=True
)
@click.option("--seed", default=0, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--kind", type=click.Choice(["residual", "plain"]), default="residual", show_default=True)
def train(out: Path, seed: int, device: str, kind: str) -> None:
    """Train the demo network anew (a few minutes on a GPU, under an hour on two cores), or its plain control."""
    from generator.experiments.demo_training import train as run

    run(out, seed=seed, device=device, kind=kind)


@demo.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--count", default=2000, show_default=True)
def draw(folder: Path, count: int) -> None:
    """Write COUNT drawn pictures into FOLDER, one folder a class."""
    from generator.core.progress import Reporter
    from generator.pictures.drawn.gallery import draw_pictures

    with Reporter().stage("drawing pictures", count, "pictures") as advance:
        draw_pictures(folder, count, progress=advance)


if __name__ == "__main__":
    sys.exit(main())
