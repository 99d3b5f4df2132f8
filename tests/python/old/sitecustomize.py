"""Gives today's Python the names of the collection types where pika 0.x looks for them.

pika 0.13.1, the last of the 0.x line, was written for Pythons before 3.10, where collections.Callable was still an
alias of collections.abc.Callable; older 0.x cannot even be parsed by them (a parameter named async). Python imports
this file on its own when the directory is on PYTHONPATH, so that the programs beside it stay as their users wrote them.
"""

import collections
import collections.abc

for name in ("Callable", "Iterable", "Mapping"):
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))
