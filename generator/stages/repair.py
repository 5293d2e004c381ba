"""What an earlier run left in the folder: intact files made from the same inputs are kept, damaged ones are removed,
and only what is missing is computed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from generator.core.checksums import Faults
from generator.stages import table
from generator.stages.inputs import Inputs
from generator.stages.manifest import all_keys
from generator.stages.run import Run
from generator.stages.unfinished import kept_stamp, layer_stamp

EVERYTHING = "everything"  # is computed again where no stage claims a damaged file


@dataclass(frozen=True)
class Earlier:
    """The state in which a run finds its folder.

    keys: the fingerprints of the atlas that was finished there, {} for none; date: of that atlas; faults: of its files
    against their checksums, None where it has no checksums; is_complete: whether it is the atlas that this run
    would compute, and undamaged.
    """

    keys: Mapping[str, str]
    date: str
    faults: Faults | None
    is_complete: bool

    def to_repair(self) -> list[str]:
        """Damaged files, and files of the atlas that its list of checksums does not name: the list itself may be
        damaged."""
        if self.faults is None:
            return []
        roots = table.roots(repaired=True)
        unlisted = (name for name in self.faults.unlisted if name.split("/")[0] in roots)
        return sorted({*self.faults.damaged, *unlisted})

    def damaged_stages(self) -> set[str]:
        """The stages with a damaged or missing file, without those that run every time; with EVERYTHING where no stage
        claims such a file."""
        stages = set()
        for name in self.to_repair():
            if name in table.TABLES:
                continue
            writer = table.writer(name)
            if writer is None:
                stages.add(EVERYTHING)
            elif writer.key is not None:
                stages.add(writer.name)
        return stages

    def holds(self, stage: table.Stage, key: str) -> bool:
        """Whether the finished atlas has a stage's outputs, made from the same inputs and none of them damaged."""
        return (
            bool(key)
            and self.keys.get(stage.name) == key
            and not self.damaged_stages() & {stage.name, EVERYTHING}
        )


def examine(inputs: Inputs, run: Run) -> Earlier:
    """The state of the folder; hashes every file of an atlas that was finished there."""
    store = run.store
    if not store.is_finished():
        return Earlier({}, "", None, False)
    count = len(store.checksums() or ())
    with run.reporter.stage("checksums", count, "files") as advance:
        faults = store.find_faults(advance)
    keys, date = store.made_from()
    is_intact = (
        faults is not None
        and not faults.damaged
        and not set(faults.unlisted) & store.own_files(table.roots())
    )
    return Earlier(keys, date, faults, is_intact and keys == all_keys(inputs))


def prepare(inputs: Inputs, run: Run, earlier: Earlier) -> None:
    """Take over what can be kept of a finished atlas, and withdraw its manifest, which is no longer true."""
    if run.ranks.leads and run.store.is_finished():
        current = all_keys(inputs)
        if earlier.keys.get("all") == current["all"]:
            run.store.work.write_stamp("date", f"{current['all']} {earlier.date}")
        _note(run, earlier)
        take_over(inputs, run, earlier)
        run.store.withdraw_manifest()
    run.ranks.meet()


def take_over(inputs: Inputs, run: Run, earlier: Earlier) -> None:
    """Remove damaged files, and stamp every stage, or layer of it, that is complete and made from the same inputs."""
    damaged = earlier.to_repair()
    for name in damaged:
        run.store.drop_file(name)
    if EVERYTHING in earlier.damaged_stages():
        return
    for stage in table.STAGES:
        key = "" if stage.key is None else stage.key(inputs)
        if not key or earlier.keys.get(stage.name) != key:
            continue
        if stage.is_by_layer:
            run.store.work.write_stamp(kept_stamp(stage.stamp), key)
            for layer in inputs.network.layers:
                if not any(stage.writes_for(layer.name, name) for name in damaged):
                    run.store.work.write_stamp(layer_stamp(stage.stamp, layer), key)
        elif not any(stage.writes(name) for name in damaged):
            run.store.work.write_stamp(stage.stamp, key)


def _note(run: Run, earlier: Earlier) -> None:
    if earlier.faults is None:
        run.reporter.note(f"{run.store.folder} has no checksums yet: its files are taken as they are")
    elif damaged := earlier.faults.damaged:
        again = ", ".join(sorted(earlier.damaged_stages())) or "tables"
        run.reporter.note(
            f"{len(damaged)} damaged or missing files in {run.store.folder}, the first {damaged[0]}; "
            f"computed again: {again}"
        )
