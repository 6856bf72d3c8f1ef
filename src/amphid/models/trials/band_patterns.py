"""Power of rhythms, where two classes differ most in it."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from amphid.dynamics.values import is_number
from amphid.models.trials.checks import check_classes, check_trials
from amphid.wiring import checks

LOADING = 0.05  # of the mean power, on the diagonal: few trials do not determine all channels


class BandPatterns(nn.Module):
    r"""Common spatial patterns: log power of mixtures of channels in which two classes differ most.

    .. math:: C_0 w = \lambda (C_0 + C_1) w

    with :math:`C_k` the mean over trials of class k of the covariance of channels within the band,
    each trial's scaled to unit trace; kept are the `pairs` largest and smallest eigenvalues. The
    covariance within the band is the sum over its Fourier components under a Hann window. Trials
    [B, C, T] to [B, 2 * pairs].

    channels: C. band: lowest and highest frequency, Hz. interval: ms between samples.
    Reference: Ramoser, Mueller-Gerking and Pfurtscheller 2000, doi 10.1109/86.895946.
    """

    filters: Tensor  # [C, 2 * pairs]

    def __init__(
        self, channels: int, *, band: tuple[float, float], interval: float, pairs: int = 2
    ) -> None:
        super().__init__()
        checks.whole("channels", channels, least=2)
        checks.positive("interval", interval)
        if checks.whole("pairs", pairs) > channels // 2:
            raise ValueError(f"pairs must be 1 to half of {channels} channels, got {pairs!r}.")
        numbers = isinstance(band, tuple | list) and len(band) == 2 and all(map(is_number, band))
        if not numbers or not 0 <= band[0] < band[1] <= 500 / interval:
            raise ValueError(
                f"band must be two frequencies up to {500 / interval:g} Hz, half of the sampling "
                f"rate, got {band!r}."
            )
        self.band, self.interval, self.pairs = band, interval, pairs
        self.register_buffer("filters", torch.zeros(channels, 2 * pairs))

    def fit(self, trials: Tensor, classes: Tensor) -> Self:
        """Learn the mixtures from trials [B, C, T] of the classes 0 and 1 [B]."""
        check_classes(trials, classes, 2)
        power = self._covariance(trials.double())
        if not bool((power.diagonal(dim1=1, dim2=2).sum(1) > 0).all()):  # NaN fails, too
            raise ValueError(
                f"trials must be finite and have power from {self.band[0]:g} to {self.band[1]:g} "
                "Hz, each of them: leave out what is flat, or widen the band."
            )
        scaled = power / power.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
        one, other = (scaled[classes == kind].mean(0) for kind in (0, 1))
        both = one + other
        both = both + LOADING * torch.eye(len(both)).to(both) * both.diagonal().mean()
        root = torch.linalg.cholesky(both)
        half = torch.linalg.solve_triangular(root, one, upper=False)
        white = torch.linalg.solve_triangular(root, half.T, upper=False)
        turned = torch.linalg.eigh((white + white.T) / 2).eigenvectors
        ordered = torch.linalg.solve_triangular(root.T, turned, upper=True)
        self.filters.copy_(torch.cat((ordered[:, : self.pairs], ordered[:, -self.pairs :]), 1))
        return self

    def forward(self, trials: Tensor) -> Tensor:
        """Log power [B, 2 * pairs] of trials [B, C, T]."""
        power = self._covariance(trials)
        mixed = self.filters.to(trials)
        return torch.einsum("ck,bcd,dk->bk", mixed, power, mixed).clamp_min(1e-30).log()

    def _covariance(self, trials: Tensor) -> Tensor:
        """Covariance [B, C, C] within the band, up to a factor."""
        check_trials(trials, len(self.filters), 4)
        samples = trials.shape[-1]
        window = torch.hann_window(samples + 2, periodic=False).to(trials)[1:-1]
        waves = torch.fft.rfft((trials - trials.mean(-1, keepdim=True)) * window)
        frequency = torch.fft.rfftfreq(samples, self.interval / 1000)
        waves = waves[..., (frequency >= self.band[0]) & (frequency <= self.band[1])]
        return torch.einsum("bcf,bdf->bcd", waves, waves.conj()).real
