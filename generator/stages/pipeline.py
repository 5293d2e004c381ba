"""From a profile to an atlas: this module and the table of stages (table.py) show the whole way.

An interrupted run resumes when it is called again. A stage is skipped where its stamp in the folder `work/` equals its
fingerprint (`perform_alone`; keys.py has the fingerprints). A long stage continues from the parts that it saved
(checkpointed_pass.py). A finished atlas is first compared with its checksums (repair.py)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from generator.core.input_paths import input_paths
from generator.core.progress import Reporter
from generator.core.records import Skipped
from generator.core.store import Store
from generator.engine.device import avoid_page_faults, choose_device, trim_memory
from generator.engine.loops import compiled
from generator.network.network import Network
from generator.stages import keys, table
from generator.stages.announcement import announce, announce_network, announce_pictures
from generator.stages.background import background_stages
from generator.stages.decoded_pixels import keeping_pixels
from generator.stages.dreams import open_starts
from generator.stages.inputs import Inputs
from generator.stages.manifest import finish
from generator.stages.opening import (
    check_encoder,
    chosen_layers,
    open_other_layers,
    open_pictures,
    open_whole,
    seek_pictures,
)
from generator.stages.preprocessing import prepared
from generator.stages.profile import Profile
from generator.stages.ranks import Ranks, joined
from generator.stages.repair import examine, prepare
from generator.stages.run import Run
from generator.stages.unfinished import layer_stamp


def compute(
    profile: Profile,
    folder: Path,
    reporter: Reporter | None = None,
    *,
    dry_run: bool = False,
    site: bool = False,
    network: Network | None = None,
) -> Store:
    """Compute the atlas of a profile into a folder and return it; at once where it is complete already.

    First it reports the network, the pictures, what will be computed and how long that takes. dry_run: stop there and
    write nothing; site: whether pages are rendered afterwards, which counts in the estimate; network: instead of the
    one that the profile names, as load_network gives it. Raises AtlasError for anything that the user can correct.
    Killed at any moment and called again, it resumes and ends with the same bytes. Under torchrun every process calls
    it; they share the pictures and the units.
    """
    start = time.monotonic()
    avoid_page_faults()
    check_encoder(profile)
    store = Store(folder)
    with contextlib.ExitStack() as held:
        ranks = held.enter_context(joined())
        reporter = reporter or Reporter(quiet=not ranks.leads)
        device = choose_device(profile.compute.device, ranks.local_rank)
        run = Run(store, device, reporter, ranks, profile.compute.workers)
        with reporter.waiting("loading the network"):
            whole = open_whole(profile) if network is None else prepared(network, profile.pictures)
        network = chosen_layers(profile, whole)
        announce_network(reporter, network, len(whole.layers), device)
        if assumption := network.preprocessing.assumption:
            reporter.notes.append(f"{assumption} (--mean, --std)")  # and once more in the summary
        others = open_other_layers(profile.kernels.others, reporter)
        sought = seek_pictures(profile.pictures, folder, reporter)
        announce_pictures(reporter, profile.pictures, network, sought)
        note_passed_over(reporter, sought.pictures.passed_over)
        opened = open_pictures(sought, profile.pictures.drawn, reporter, ranks, dry_run=dry_run)
        starts = open_starts(profile.deepdream, network)
        if not dry_run:
            held.enter_context(store.locked(alone=ranks.leads))
            if ranks.leads:
                store.write_input_paths(input_paths(profile.model_dump()))
        compile_loops(device, reporter, ranks)
        inputs = Inputs(
            profile,
            network,
            opened.pictures,
            opened.digest,
            keys.arithmetic(device),
            opened.contents,
            others,
            starts,
        )
        earlier = examine(inputs, run)  # hashes every file that is there
        if earlier.is_complete:
            reporter.say(f"{folder} is complete and every checksum right: nothing to compute")
            return store
        announce(inputs, run, earlier, len(sought.missing) if dry_run else 0, site=site)
        if dry_run:
            reporter.say("this was a dry run: the computation was not begun, nothing written")
            return store
        prepare(inputs, run, earlier)  # damaged files are removed, the rest is kept
        with keeping_pixels(inputs, run):  # the first pass that reads a picture decodes it for all
            perform_all(inputs, run)
        with reporter.waiting("tables and checksums"):
            if ranks.leads:
                finish(inputs, run)  # tables, manifest, and the work folder is removed
            ranks.meet()
        seconds = time.monotonic() - start
        layers = f"{len(network.layers)} layer{'s' if len(network.layers) != 1 else ''}"
        reporter.summary(f"{folder}: {layers}, {store.size() / 1e6:,.1f} MB in {seconds:,.0f} s")
    return store


def perform_all(inputs: Inputs, run: Run) -> None:
    """Run all stages in their order. Those that need no device run in the background: while a GPU computes the others,
    and on a CPU beside each other, because each of them keeps one core busy."""
    with background_stages(run, perform_alone) as background:
        for stage in table.in_order():
            background.check()
            if stage.cpu_only and (run.overlaps or not stage.all_cores):
                background.begin(stage, inputs)
                continue
            if not run.overlaps:  # this stage wants all cores
                background.wait()
                run.ranks.meet()
            elif background.holds(stage.needs):
                background.wait_for(stage.needs)
                run.ranks.meet()
            perform(stage, inputs, run)


def perform(stage: table.Stage, inputs: Inputs, run: Run) -> None:
    """Run one stage, unless its outputs are there already; remove them where the inputs do not ask for the stage."""
    perform_alone(stage, inputs, run)
    run.ranks.meet()
    trim_memory()


def perform_alone(stage: table.Stage, inputs: Inputs, run: Run) -> None:
    """As `perform`, without waiting for the other processes of a torchrun."""
    store, leads = run.store, run.ranks.leads
    layers = inputs.network.layers if stage.is_by_layer else ()
    key = "" if stage.key is None else stage.key(inputs)
    if not stage.when(inputs):
        if leads:
            store.drop_matching(stage.patterns)
            for stamp in (stage.stamp, *(layer_stamp(stage.stamp, layer) for layer in layers)):
                store.work.unstamp(stamp)
    elif not key or stage.is_by_layer or store.work.stamp(stage.stamp) != key:
        if leads:
            store.work.unstamp(stage.stamp)
        if leads or stage.ranks == "together":
            stage.run(inputs, run)
        if leads and key and not stage.is_by_layer:
            store.work.write_stamp(stage.stamp, key)
            store.work.drop_parts(stage.stamp)


def compile_loops(device: torch.device, reporter: Reporter, ranks: Ranks) -> None:
    """Compile the loops that a CPU computes with, in one process: the others find the machine code on the disk.

    Called before the fingerprints, which depend on whether compiled loops are used."""
    if ranks.leads and device.type == "cpu":
        compiled.prepare(reporter.say)
    ranks.meet()


def note_passed_over(reporter: Reporter, files: Sequence[Skipped]) -> None:
    """Note for the summary how many files of the folder are no pictures, and the first of them."""
    if files:
        count, first = len(files), files[0]
        reporter.notes.append(
            f"{count:,} {'file is' if count == 1 else 'files are'} passed over, the first "
            f"{first.path}: {first.reason}; manifest.json lists them"
        )
