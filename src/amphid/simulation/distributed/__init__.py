"""One network in several processes, which need not be on one machine."""

from amphid.simulation.distributed.engine import Distributed
from amphid.simulation.distributed.ranks import rank

__all__ = ["Distributed", "rank"]
