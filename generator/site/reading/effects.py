"""What channels contribute to the classes, as the pages need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from generator.core.store import Store
from generator.site.reading.categories import Categories, page_addresses

FOLDER = "answers"  # of the pages of classes that are not classes of the labels


@dataclass(frozen=True)
class EffectClass:
    """A class of the network's outputs. row: of the arrays by class; name: as on the pages; address: of its page, below
    the network's folder, '' where no picture is of it; labels: of its pictures, none where the class is the network's
    answer; pictures: whose contributions are averaged; correct: of these, those to which the network gives this answer,
    None where labels and outputs are not matched; score: the mean of the class's output over its pictures, None without
    one."""

    row: int
    number: int
    name: str
    address: str
    labels: frozenset[tuple[int, str]]
    pictures: int
    correct: int | None
    score: float | None


@dataclass(frozen=True)
class Effects:
    """What effects.json says.

    absent: why there are no contributions, '' where there are; by_answer: whether the class of a picture is the
    network's answer, not its label; sentence: how labels and outputs are matched, or why not; head: how the outputs are
    read; exact: the layer whose contributions follow from the classifier's weights alone, '' for none; outputs: their
    number; pictures: those that have a class; of: all pictures; classes: by number; names: of all classes, by number;
    of_category: the classes by the number of their category; left_out: classes without means, since there are too many.
    """

    absent: str
    by_answer: bool = True
    sentence: str = ""
    head: str = ""
    exact: str = ""
    outputs: int = 0
    pictures: int = 0
    of: int = 0
    layers: frozenset[str] = frozenset()
    classes: Mapping[int, EffectClass] = field(default_factory=dict)
    names: Sequence[str] = ()
    of_category: Mapping[int, EffectClass] = field(default_factory=dict)
    left_out: int = 0

    @property
    def is_binary(self) -> bool:
        """Whether one output stands for two classes."""
        return self.head == "sigmoid" and self.outputs == 1

    @property
    def basis(self) -> str:
        """How labels and outputs are matched, or why they are not, as a part of a sentence."""
        return self.sentence.removeprefix("no accuracy: ")

    @property
    def limit(self) -> str:
        """Which classes have no means since there are too many, as a part of a sentence; '' where all have them."""
        if not self.left_out:
            return ""
        if not self.classes:
            return f"the sums of {self.left_out:,} classes do not fit into the memory set aside for them"
        return (
            f"only the {len(self.classes):,} classes with most pictures have mean contributions, since the sums of the "
            f"other {self.left_out:,} do not fit into the memory set aside for them"
        )

    @property
    def output(self) -> str:
        """What the number is called that is traced back."""
        return {"softmax": "logit", "sigmoid": "logit"}.get(self.head, "output")


def read_effects(store: Store, categories: Categories | None) -> Effects | None:
    """What the atlas holds; None where nobody asked for it."""
    report = store.tables.read_json("effects.json")
    if not report:
        return None
    if report.get("absent"):
        return Effects(report["absent"])
    by_answer = report["by"] == "answer"
    of_label: dict[tuple[int, str], int] = {}
    if categories is not None and not by_answer:
        keys = list(store.tables.class_groups())
        of_label = {keys[row]: number for number, row in categories.class_rows.items()}
    addresses = iter(page_addresses([row["name"] for row in report["classes"] if row["pictures"]], FOLDER))
    classes: dict[int, EffectClass] = {}
    of_category: dict[int, EffectClass] = {}
    for place, row in enumerate(report["classes"]):
        own = next(addresses) if row["pictures"] else ""
        labels = frozenset((label[0], label[1]) for label in row["labels"])
        numbers = sorted(of_label[label] for label in labels if label in of_label)
        name = row["name"]
        if numbers and categories is not None:
            name, own = categories.entries[numbers[0]].name, categories.entries[numbers[0]].address
        effect = EffectClass(
            place, row["number"], name, own, labels, row["pictures"], row["correct"], row["score"]
        )
        classes[row["number"]] = effect
        of_category |= dict.fromkeys(numbers, effect)
    return Effects(
        absent="",
        by_answer=by_answer,
        sentence=report["sentence"],
        head=report["head"],
        exact=report["exact"] or "",
        outputs=report["outputs"],
        pictures=report["pictures"],
        of=report["of"],
        layers=frozenset(report["layers"]),
        classes=classes,
        names=report["names"],
        of_category=of_category,
        left_out=report.get("left_out", 0),
    )
