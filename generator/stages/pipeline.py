"""A profile becomes an atlas. This page is the whole way; every stage takes up where an interrupted run stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from generator.core.places import places
from generator.core.progress import Reporter
from generator.core.store import Store
from generator.engine.device import avoid_page_faults, choose_device, trim_memory
from generator.engine.loops import compiled
from generator.stages.announcement import announce, announce_network, announce_pictures
from generator.stages.correspondence import relate_layers
from generator.stages.dreams import dream_pictures, open_starts
from generator.stages.gradient_rules import compare_rules
from generator.stages.job import Job
from generator.stages.manifest import finish, look, prepare
from generator.stages.network_outputs import collect
from generator.stages.opening import (
    chosen_layers,
    open_other_layers,
    open_pictures,
    open_whole,
    seek_pictures,
)
from generator.stages.optimised_pictures import add_ascents, optimise_pictures
from generator.stages.optimised_stream import optimise_streams
from generator.stages.picture_map import map_pictures
from generator.stages.profile import Profile
from generator.stages.ranks import joined
from generator.stages.residual_stream import read_streams
from generator.stages.scale_truth import measure_scale
from generator.stages.scan import scan_pictures
from generator.stages.sprites import make_sprites
from generator.stages.tables import add_relations, label_pictures
from generator.stages.unit_pictures import picture_units


def compute(
    profile: Profile,
    folder: Path,
    reporter: Reporter | None = None,
    *,
    dry_run: bool = False,
    site: bool = False,
) -> Store:
    """Compute the atlas of a profile into a folder and return it; at once if it is there already.

    What it works with, what it will make and how long that takes is said before. dry_run: that is all, and nothing is
    written; site: whether pages are rendered afterwards, which counts in what is said.
    Raises AtlasError for anything the user can mend. Killed at any moment and called again, it goes on and ends with
    the same bytes. Under torchrun every process calls it; they share the pictures and the units.
    """
    start = time.monotonic()
    avoid_page_faults()
    store = Store(folder)
    with contextlib.ExitStack() as held:
        ranks = held.enter_context(joined())
        reporter = reporter or Reporter(quiet=not ranks.leads)
        device = choose_device(profile.compute.device, ranks.local_rank)
        with reporter.waiting("loading the network"):
            whole = open_whole(profile)
        network = chosen_layers(profile, whole)
        announce_network(reporter, network, len(whole.layers), device)
        if assumption := network.preprocessing.assumption:
            reporter.notes.append(f"{assumption} (--mean, --std)")  # and once more in the summary
        others = open_other_layers(profile, reporter)
        sought = seek_pictures(profile, folder, reporter)
        announce_pictures(reporter, profile, network, sought)
        if passed_over := sought.pictures.passed_over:
            first, count = passed_over[0], len(passed_over)
            reporter.notes.append(
                f"{count:,} {'file is' if count == 1 else 'files are'} passed over, the first "
                f"{first.path}: {first.reason}; manifest.json lists them"
            )
        opened = open_pictures(sought, profile, reporter, ranks, dry_run=dry_run)
        starts = open_starts(profile, network)
        if not dry_run:
            held.enter_context(store.locked(alone=ranks.leads))
            if ranks.leads:
                store.write_places(places(profile.model_dump()))
        job = Job(
            profile,
            network,
            opened.pictures,
            opened.digest,
            store,
            device,
            reporter,
            ranks,
            opened.contents,
            others,
            starts,
        )
        once(job, compile_loops)  # in one process: the others find the machine code there
        found = look(job)  # hashes every file that is there
        if found.is_complete:
            reporter.say(f"{folder} is complete and every checksum right: nothing to compute")
            return store
        announce(job, found, len(sought.missing) if dry_run else 0, site=site)
        if dry_run:
            reporter.say("this was a dry run: the computation was not begun, nothing written")
            return store
        prepare(job, found)  # what is damaged goes, what still holds stays
        together(job, scan_pictures)  # one pass: top-9 and statistics of every channel of every layer
        once(job, label_pictures)  # which may have changed since the scan
        together(job, collect)  # of pictures that the scan did not bring: what the classifier reads, and says
        once(job, map_pictures)  # on a plane: PCA, t-SNE, nearest neighbours
        once(job, add_relations)  # the same channel from block to block, the inputs inside a block
        once(job, relate_layers)  # classes, refinement, the matches of every channel in the layers beside
        together(job, read_streams)  # one more pass: what every block hands on, adds and replaces
        together(job, optimise_streams)  # the same at optimised pictures, where the profile asks for them
        once(job, measure_scale)  # on drawn pictures: the scale criteria against the true sizes
        together(job, picture_units)  # patches and gradients of every unit in a list
        together(job, make_sprites)  # one file a channel
        once(job, compare_rules)  # every kind of gradient side by side, for a few channels
        together(job, optimise_pictures)  # what each unit itself asks for, where the profile wants it
        once(job, add_ascents)
        together(job, dream_pictures)  # what layers see in pictures, made more of, where the profile wants it
        with reporter.waiting("tables and checksums"):
            once(job, finish)  # tables, manifest, and the work folder goes
        seconds = time.monotonic() - start
        layers = f"{len(network.layers)} layer{'s' if len(network.layers) != 1 else ''}"
        reporter.summary(f"{folder}: {layers}, {store.size() / 1e6:,.1f} MB in {seconds:,.0f} s")
    return store


def compile_loops(job: Job) -> None:
    """Have the loops ready that a CPU computes with: fingerprints say whether they are used."""
    if job.device.type == "cpu":
        compiled.prepare(job.reporter.say)


def together(job: Job, stage: Callable[[Job], None]) -> None:
    """Run a stage in all processes, each with its share."""
    stage(job)
    trim_memory()


def once(job: Job, stage: Callable[[Job], None]) -> None:
    """Run a stage in the leading process while the others wait."""
    if job.ranks.leads:
        stage(job)
        trim_memory()
    job.ranks.meet()
