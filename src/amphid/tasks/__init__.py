"""A question with data, a score, its chance level and its published reference."""

from amphid.tasks.batches import Batches
from amphid.tasks.digits import Digits
from amphid.tasks.idx import read_idx
from amphid.tasks.task import Reference, Score, Split, Task, accuracy

__all__ = ["Batches", "Digits", "Reference", "Score", "Split", "Task", "accuracy", "read_idx"]
