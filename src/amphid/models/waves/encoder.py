"""The encoder: any image in, one row of numbers out, nothing learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from numbers import Integral
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from amphid.models.waves.flood import FloodWaves
from amphid.models.waves.histograms import GradientHistograms
from amphid.models.waves.ink import ink_of, pictures, upright
from amphid.models.waves.oriented import OrientedWaves

Waves = OrientedWaves | FloodWaves | GradientHistograms


def standard_waves(seed: int = 0) -> tuple[Waves, ...]:
    """The parts of the recipe: waves over lines, around the ink, and gradients beside them.

    seed: of the places and orientations of cells; in the other parts nothing is drawn.
    """
    return OrientedWaves(seed=seed), FloodWaves(share=0.5), GradientHistograms(share=0.8)


@dataclass
class WaveEncoder:
    """Images as first-spike times of untrained geometric networks, one of scikit-learn's kind.

    Nothing is fitted: `fit` only looks at the shape, and each image is encoded by itself. What
    stands out from the background is ink, bright or dark; it is scaled to the networks and, unless
    `straighten` is False, sheared until it no longer leans. Then waves run over it. Rows that are
    near each other (Euclidean) are of images alike. Histograms of gradients stand beside the waves:
    what is hidden of an image changes few of their numbers, but many of the waves'.

    seed: of the networks. waves: the parts of a row; `standard_waves(seed)` when None.
    threads: how many run images side by side; those of torch when None.

    Numbers come back as images came: arrays for arrays, tensors for tensors.
    That untrained geometric networks tell digits apart was announced by George et al. 2021,
    arXiv 2103.08878; the recipe is one of this package, its settings chosen on training images of
    MNIST.
    """

    seed: int = 0
    waves: Sequence[Waves] | None = None
    straighten: bool = True
    threads: int | None = None

    def fit(self, X: ArrayLike | Tensor, y: Any = None) -> WaveEncoder:
        """Look whether images [B, H, W] or rows of square ones [B, P] are what they should be."""
        pictures(X)
        self._side()
        return self

    def transform(self, X: ArrayLike | Tensor) -> Any:
        """Numbers [B, K] of images [B, H, W], or of rows of square ones [B, P]."""
        ink = self.ink(X)
        found = torch.cat([own.encode(ink, threads=self.threads) for own in self.running], 1)
        return found if isinstance(X, Tensor) else found.numpy()

    def fit_transform(self, X: ArrayLike | Tensor, y: Any = None) -> Any:
        """The same as `transform`."""
        return self.fit(X, y).transform(X)

    def ink(self, X: ArrayLike | Tensor) -> Tensor:
        """The ink [B, side, side], from 0 to 1, that the waves run over."""
        ink = ink_of(pictures(X), self._side())
        return upright(ink) if self.straighten else ink

    @property
    def running(self) -> tuple[Waves, ...]:
        """The waves that run; built once for as long as the settings stay."""
        if self.waves is None:
            return _built(_checked_seed(self.seed))
        kinds = OrientedWaves | FloodWaves | GradientHistograms
        several = isinstance(self.waves, Sequence) and len(self.waves) > 0
        if not several or not all(isinstance(own, kinds) for own in self.waves):
            raise TypeError(
                "waves must be a tuple of OrientedWaves, FloodWaves or GradientHistograms, got "
                f"{self.waves!r:.80}."
            )
        return tuple(self.waves)

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002  as theirs
        """The settings by name, as scikit-learn asks for them."""
        return {own.name: getattr(self, own.name) for own in fields(self)}

    def set_params(self, **settings: Any) -> WaveEncoder:
        """Change settings by name, as scikit-learn does."""
        known = self.get_params()
        for name, value in settings.items():
            if name not in known:
                raise ValueError(f"WaveEncoder has no {name!r}; it has {', '.join(known)}.")
            setattr(self, name, value)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        """Always: there is nothing to fit."""
        return True

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn wants to know of it."""
        from sklearn.utils import Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(),
            requires_fit=False,
        )

    def _side(self) -> int:
        sides = {own.side for own in self.running}
        if len(sides) != 1:
            raise ValueError(f"waves must run over images of one side, got {sorted(sides)} pixels.")
        return sides.pop()


def _checked_seed(seed: object) -> int:
    """The seed; ValueError for what is no whole number."""
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, got {seed!r}.")
    return int(seed)


@lru_cache(maxsize=4)
def _built(seed: int) -> tuple[Waves, ...]:
    return standard_waves(seed)
