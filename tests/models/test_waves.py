"""Waves over images: laws of ink, of dendrites, of floods, and of the encoder as a whole."""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush

import numpy as np
import pytest
import torch

from amphid.models import Edge, FloodWaves, GradientHistograms, OrientedWaves, Ridge, WaveEncoder
from amphid.models.waves.ink import ink_of, pictures, upright


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(dendrite: Ridge | Edge = Ridge(), **settings: object) -> OrientedWaves:  # noqa: B008
    return OrientedWaves(dendrite, side=12, places=5, orientations=7, apart=2.5, **settings)


def strokes(count: int, side: int = 12) -> torch.Tensor:
    """Images of a few random strokes."""
    draw = seeded()
    images = torch.zeros(count, side, side)
    for image in images:
        for _ in range(3):
            row, column = torch.randint(1, side - 4, (2,), generator=draw).tolist()
            image[row : row + 2, column : column + 4] = 1.0
            image[row : row + 4, column] = 0.6
    return images


def waves() -> list[OrientedWaves | FloodWaves | GradientHistograms]:
    flood = FloodWaves(side=12, levels=(0.3, 0.7), share=0.5)
    return [small(), small(Edge(), seed=1), flood, GradientHistograms(side=12, share=0.8)]


def plain_flood(blocked: np.ndarray, heading: tuple[int, int]) -> np.ndarray:
    """Steps from one border around what is blocked, never straight back."""
    height, width = blocked.shape
    inside = {(i, j) for i in range(height) for j in range(width)}
    down, right = heading
    start = [
        (i, j)
        for i, j in inside
        if (down, right) in {(0, 1) if j == 0 else None, (0, -1) if j == width - 1 else None,
                             (1, 0) if i == 0 else None, (-1, 0) if i == height - 1 else None}
    ]  # fmt: skip
    steps = np.full(blocked.shape, np.inf)
    queue = deque(start)
    for place in start:
        steps[place] = 0
    while queue:
        i, j = queue.popleft()
        for di, dj in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            to = (i + di, j + dj)
            if di * down + dj * right < 0 or to not in inside or blocked[to]:
                continue
            if steps[to] == np.inf:
                steps[to] = steps[i, j] + 1
                queue.append(to)
    return steps


def test_a_flood_takes_the_shortest_way_around_ink() -> None:
    flood, ink = FloodWaves(side=12), strokes(3)
    found = flood.times(ink, 0.5, threads=1)
    assert found.shape == (3, 4, 14, 14)
    within = flood.side + 2 + flood.most
    for image, four in zip(ink, found.numpy(), strict=True):
        blocked = np.pad(image.numpy() > 0.5, 1)
        for heading, times in zip(((0, 1), (0, -1), (1, 0), (-1, 0)), four, strict=True):
            expected = plain_flood(blocked, heading)
            expected[expected >= within] = np.inf
            np.testing.assert_array_equal(times, expected)


def test_without_ink_there_is_no_detour_and_a_closed_ring_is_never_entered() -> None:
    flood, ink = FloodWaves(side=12), torch.zeros(2, 12, 12)
    ink[1, 3:9, 3:9] = 1.0
    ink[1, 5:7, 5:7] = 0.0
    detour = flood.detours(ink, 0.5, threads=1)
    assert detour[0].abs().max() == 0.0
    assert detour[1, :, 5:7, 5:7].tolist() == torch.ones(4, 2, 2).tolist()
    assert detour[1, :, 3].abs()[:, 3:9].max() == 0.0


def test_a_flood_turns_with_its_image() -> None:
    """Flipped from left to right, the wave from the left is the one from the right."""
    flood, ink = FloodWaves(side=12), strokes(2)
    plain, mirrored = (flood.detours(x, 0.5, threads=1) for x in (ink, ink.flip(2)))
    torch.testing.assert_close(mirrored[:, [1, 0, 2, 3]].flip(3), plain)
    turned = flood.detours(ink.transpose(1, 2), 0.5, threads=1)
    torch.testing.assert_close(turned[:, [2, 3, 0, 1]].transpose(2, 3), plain)


@pytest.mark.parametrize("dendrite", [Ridge(), Edge()], ids=["ridge", "edge"])
def test_waves_take_the_shortest_ways_from_where_ink_fires(dendrite: Ridge | Edge) -> None:
    """First spikes are the least, over all cells, of their onset and the latency from there."""
    own, ink = small(dendrite), strokes(2)
    found, onset = own.times(ink, threads=1).numpy(), own.onset(ink).numpy()
    wires = own.network.connectome.connections
    lag = np.maximum(np.rint(wires.delay), 1)
    ways: dict[int, list[tuple[int, float]]] = {}
    for pre, post, ticks in zip(wires.pre.tolist(), wires.post.tolist(), lag, strict=True):
        ways.setdefault(pre, []).append((post, ticks))
    for times, start in zip(found, onset, strict=True):
        best = np.full(len(start), np.inf)
        queue = [(t, n) for n, t in enumerate(start) if t < np.inf]
        queue.sort()
        while queue:
            now, cell = heappop(queue)
            if now >= own.duration or best[cell] < np.inf:
                continue
            best[cell] = now
            for post, ticks in ways.get(cell, []):
                heappush(queue, (now + ticks, post))
        np.testing.assert_array_equal(times, best)


def test_a_dendrite_answers_most_to_a_line_along_it() -> None:
    own = OrientedWaves(orientations=8)
    x, y, turn = own.points.unbind(1)
    image = torch.zeros(1, 28, 28)
    image[:, 13:15] = 1.0  # a horizontal line, along orientation 0
    gathered = (image.flatten(1) @ own.dendrites.T)[0]
    on_it = ((y - 14).abs() < 0.6) & ((x - 14).abs() < 7)
    along, across = turn.cos().abs() > 0.97, turn.cos().abs() < 0.3
    assert gathered[along & on_it].min() > 4 * gathered[across & on_it].abs().max()


def test_an_edge_tells_its_two_sides_apart() -> None:
    own = OrientedWaves(Edge(), places=7, orientations=16)
    image = torch.zeros(1, 28, 28)
    image[:, 14:] = 1.0
    one, other = (own.onset(side)[0].isfinite() for side in (image, 1 - image))
    assert one.any()
    assert other.any()
    assert not (one & other & ((own.points[:, :2] - 14).abs().amax(1) < 7)).any()


def test_with_inhibition_the_first_at_a_place_counts_alike_however_late() -> None:
    own, lone = small(), small(inhibition=False)
    times = torch.full((2, 5 * 5 * 7), math.inf)
    times[:, 0] = torch.tensor([1.0, 9.0])
    times[:, 7] = 1.0  # the first at the next place
    found, plain = own.read(times), lone.read(times)
    assert found[1, 0] / found[1, 7] > 0.8
    assert plain[1, 0] / plain[1, 7] == pytest.approx(math.exp(-1.0), rel=1e-5)


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_ink_is_what_differs_from_the_frame(scale: float) -> None:
    image = strokes(2)
    torch.testing.assert_close(ink_of(scale * image, 12), image)
    torch.testing.assert_close(ink_of(scale * (1 - image), 12), image)
    assert ink_of(torch.full((1, 12, 12), scale), 12).abs().max() == 0.0


def test_images_of_any_size_fit() -> None:
    wide = torch.zeros(1, 10, 40)
    wide[:, 4:6, 10:30] = 1.0
    ink = ink_of(wide, 28)
    assert ink.shape == (1, 28, 28)
    assert ink[0, :10].max() == ink[0, 18:].max() == 0.0
    assert ink[0, 12:16, 14].sum() == pytest.approx(2 * 28 / 40, abs=0.1)
    assert WaveEncoder(waves=waves(), threads=1).transform(torch.rand(2, 7, 9)).shape[0] == 2


def test_a_leaning_line_is_made_upright() -> None:
    leaning = torch.zeros(1, 28, 28)
    for row in range(5, 23):
        leaning[0, row, row // 2 + 6 : row // 2 + 8] = 1.0
    spread = upright(leaning)[0].sum(0)
    assert (spread > 0.5).sum() <= 4 < (leaning[0].sum(0) > 0.5).sum()
    still = torch.zeros(1, 28, 28)
    still[:, 5:23, 13:15] = 1.0
    torch.testing.assert_close(upright(still), still)


def test_an_encoder_gives_each_image_its_own_row_of_unit_parts() -> None:
    encoder, images = WaveEncoder(waves=waves(), threads=1), strokes(5)
    rows = encoder.transform(images)
    squares = [part.square().sum(1) for part in rows.split([175, 175, 36, 81], 1)]
    torch.testing.assert_close(
        torch.stack(squares, 1), torch.tensor([1, 1, 0.25, 0.64]).expand(5, -1)
    )
    torch.testing.assert_close(encoder.transform(images[3:]), rows[3:])
    flat = encoder.fit_transform((255 * images.flatten(1)).numpy().astype(np.float64))
    assert isinstance(flat, np.ndarray)
    np.testing.assert_allclose(flat, rows.numpy(), atol=1e-5)


def test_a_blank_image_is_a_row_of_numbers() -> None:
    rows = WaveEncoder(waves=waves(), threads=1).transform(torch.zeros(1, 12, 12))
    assert rows.abs().max() == 0.0


def test_a_seed_is_a_network() -> None:
    one, again, other = (WaveEncoder(seed=seed).running[0].points for seed in (3, 3, 5))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_settings_are_had_and_set_as_scikit_learn_does() -> None:
    encoder = WaveEncoder(seed=5, straighten=False)
    copy = WaveEncoder(**encoder.get_params())
    assert copy == encoder
    assert copy.set_params(seed=7).seed == 7
    with pytest.raises(ValueError, match="WaveEncoder has no 'sed'"):
        encoder.set_params(sed=3)


def test_it_stands_in_a_pipeline() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from sklearn.base import clone
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline

    images, labels = strokes(7).flatten(1).numpy(), np.arange(7)
    line = make_pipeline(WaveEncoder(waves=waves(), threads=1), KNeighborsClassifier(1))
    assert clone(line).fit(images, labels).predict(images).tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (torch.zeros(2, 3, 4, 5), "must be \\[B, H, W\\]"),
        (torch.zeros(2, 7), "shape \\[2, 7\\]"),
        (torch.full((1, 3, 3), math.nan), "finite"),
    ],
)
def test_what_is_no_image_is_told(images: torch.Tensor, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        pictures(images)


def test_waves_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match="one side"):
        WaveEncoder(waves=[small(), FloodWaves()]).fit(strokes(1))
    with pytest.raises(ValueError, match="block must divide"):
        FloodWaves(side=13)
