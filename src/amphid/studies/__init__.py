"""One claim each: run it, print measured beside published."""

from amphid.studies.study import Report, Settings, Study

__all__ = ["Report", "Settings", "Study"]
