"""A model is left as it was found, part by part."""

import pytest
from torch import nn

from amphid.models.evaluating import evaluating


def looked_at(model):
    """Whether any part trained, by a look that fails."""
    with evaluating(model):
        raise ZeroDivisionError(any(part.training for part in model.modules()))


def test_parts_that_were_frozen_stay_so_whatever_happens():
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(), nn.BatchNorm1d(2))
    model[2].eval()
    before = [part.training for part in model.modules()]
    with pytest.raises(ZeroDivisionError, match="False"):
        looked_at(model)
    assert [part.training for part in model.modules()] == before
