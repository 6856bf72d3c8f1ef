"""Published data that are fetched, not shipped: where they are, how to check and to read them."""

from amphid.interfaces.data_sets.data_set import DataSet, FileSet, RemoteFile
from amphid.interfaces.data_sets.fetching import Fetched, fetch
from amphid.interfaces.data_sets.table import DATA_SETS, ELSEWHERE, TASK_DATA, data_set, named

__all__ = [
    "DATA_SETS",
    "ELSEWHERE",
    "TASK_DATA",
    "DataSet",
    "Fetched",
    "FileSet",
    "RemoteFile",
    "data_set",
    "fetch",
    "named",
]
