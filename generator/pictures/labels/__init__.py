"""The classes of pictures, from the names of folders and files or from a label file. Ambiguous labels are refused.

>>> from generator.pictures.labels import from_names
>>> [from_names(["cat/1.png", "dog/1.png"]).classes[i].name for i in (0, 1)]
['cat', 'dog']
"""

from generator.pictures.labels.classes import LabelClass, Labels, Numbering, as_integer
from generator.pictures.labels.files import from_file, from_metadata, from_table
from generator.pictures.labels.folders import from_names, from_top_folders
from generator.pictures.labels.tables import NoLabelColumn

__all__ = [
    "LabelClass",
    "Labels",
    "NoLabelColumn",
    "Numbering",
    "as_integer",
    "from_file",
    "from_metadata",
    "from_names",
    "from_table",
    "from_top_folders",
]
