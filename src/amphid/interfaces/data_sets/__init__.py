"""Published wiring that is fetched, not shipped: where it is, how to check and how to read it."""

from amphid.interfaces.data_sets.data_set import DataSet, RemoteFile
from amphid.interfaces.data_sets.fetching import Fetched, fetch
from amphid.interfaces.data_sets.table import DATA_SETS, ELSEWHERE, data_set, named

__all__ = [
    "DATA_SETS",
    "ELSEWHERE",
    "DataSet",
    "Fetched",
    "RemoteFile",
    "data_set",
    "fetch",
    "named",
]
