"""Weights: a file of any of the field's forms is recognised by its content (reading.py) and unpickled without running
code (unpickling.py); of all its tensors those of the network are found (matching.py, with the names of other codebases
in naming.py), with the classifier that the file has (classifier.py); they are put into the module (fitting.py). Class
names and preprocessing that a file states are read by metadata.py; initial.py makes random weights."""
