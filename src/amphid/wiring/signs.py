"""Sign rules: which connections excite and which inhibit.

A wiring diagram shows that two cells are connected, not what the connection does. A rule is any
function from a connectome to a sign for each connection [E], +1 or -1 (0 stays "not known"), and
choosing it is part of the model:

    worm = wiring.celegans(signs=wiring.by_receptor)
    fly = fly.signed(ByTransmitter(inhibitory=("GABA", "glutamate")))

A gap junction has no sign: every rule here gives it 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amphid.wiring.celegans import celegans_receptors
from amphid.wiring.connectome import Connectome

Signs: TypeAlias = NDArray[np.int8]
Mask: TypeAlias = NDArray[np.bool_]
SignRule: TypeAlias = Callable[[Connectome], ArrayLike]


class Channels(NamedTuple):
    """The ion channels that one transmitter opens."""

    exciting: frozenset[str]
    inhibiting: frozenset[str]


CHANNELS: Mapping[str, Channels] = {
    "acetylcholine": Channels(
        frozenset({"DEG-3", "DES-2", "EAT-2", "LEV-1", "LEV-8", "UNC-29", "UNC-38", "UNC-63"})
        | {f"ACR-{number}" for number in (*range(1, 22), 25)},
        frozenset({"ACC-1", "ACC-2", "ACC-3", "ACC-4", "LGC-47", "LGC-49"}),
    ),
    "betaine": Channels(frozenset({"ACR-23"}), frozenset()),
    "dopamine": Channels(frozenset(), frozenset({"LGC-53"})),
    "gaba": Channels(
        frozenset({"EXP-1", "LGC-35"}), frozenset({"GAB-1", "LGC-37", "LGC-38", "UNC-49"})
    ),
    "glutamate": Channels(
        frozenset({"NMR-1", "NMR-2"} | {f"GLR-{number}" for number in range(1, 9)}),
        frozenset({"AVR-14", "AVR-15", "GLC-1", "GLC-2", "GLC-3", "GLC-4"}),
    ),
    "serotonin": Channels(frozenset({"LGC-50"}), frozenset({"LGC-40", "MOD-1"})),
    "tyramine": Channels(frozenset(), frozenset({"LGC-55"})),
}
"""Channels of the worm by transmitter: cation channels excite, chloride channels inhibit.

Acetylcholine, GABA and glutamate as grouped by Fenyves et al. 2020, table S3, doi
10.1371/journal.pcbi.1007974, without the GGR subunits and LGC-36, whose transmitter is in doubt,
and without LGC-46, whose effect is. Acetylcholine-gated chloride channels: Putrenko et al. 2005,
doi 10.1074/jbc.M412644200. EXP-1: Beg and Jorgensen 2003, doi 10.1038/nn1136. LGC-35: Jobson et al.
2015, J Neurosci. MOD-1: Ranganathan et al. 2000, doi 10.1038/35044083. LGC-40, LGC-53, LGC-55:
Ringstad et al. 2009, doi 10.1126/science.1169243. LGC-50: Morud et al. 2021, Curr Biol 31:4282.
ACR-23: Peden et al. 2013, Nat Neurosci.
"""


def _first_transmitters(connectome: Connectome) -> list[str]:
    return [text.split(";")[0].strip().casefold() for text in connectome.cells.transmitter]


def _chemical_only(connectome: Connectome, signs: NDArray[np.int8]) -> Signs:
    return np.where(connectome.connections.chemical, signs, 0).astype(np.int8)


def _signs_by(rule: SignRule, connectome: Connectome) -> Signs:
    return connectome.signed(rule).connections.sign


def _unpadded(name: str) -> str:
    """The name without leading zeros: "VB02" is the cell "VB2"."""
    return re.sub(r"(?<=\D)0+(?=\d)", "", name)


def _several(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _check_sign(field: str, sign: int) -> None:
    if sign not in (-1, 0, 1):
        raise ValueError(f"{field} must be -1, 0 or +1, got {sign!r}.")


@dataclass(frozen=True)
class ByTransmitter:
    """The transmitter of the cell before it decides: some inhibit, all others excite.

    inhibitory: the transmitters that inhibit, in any case of letters. GABA alone is the least one
        has to assume for the worm; in flies glutamate inhibits as well.
    unknown: the sign of connections from cells whose transmitter is "".

    Where a cell has several transmitters, "acetylcholine; GABA", the first decides.
    Raises ValueError for an `unknown` other than -1, 0 and +1.
    """

    inhibitory: tuple[str, ...] = ("GABA",)
    unknown: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "inhibitory", _several(self.inhibitory))
        _check_sign("unknown", self.unknown)

    def __call__(self, connectome: Connectome) -> Signs:
        """Signs [E] of that connectome."""
        inhibitory = {transmitter.casefold() for transmitter in self.inhibitory}
        sign_of = {"": self.unknown, **dict.fromkeys(inhibitory, -1)}
        of_cell = np.array([sign_of.get(t, 1) for t in _first_transmitters(connectome)], np.int8)
        return _chemical_only(connectome, of_cell[connectome.connections.pre])


by_transmitter = ByTransmitter()
"""GABA inhibits, every other transmitter and an unknown one excite."""


@dataclass(frozen=True)
class ByReceptor:
    """Transmitter and receptor decide: the channels of the cell behind that this transmitter opens.

    base: the rule for connections without such a channel known, and for those with channels of
        both kinds.
    receptors: the channels of each cell by name; without it those of the worm,
        `celegans_receptors()`. Cells that are not in it have none known.

    The polarity of each channel stands in `CHANNELS`. Where a cell has several transmitters the
    first counts. The idea: Fenyves et al. 2020, doi 10.1371/journal.pcbi.1007974.
    """

    base: SignRule = by_transmitter
    receptors: Mapping[str, Iterable[str]] | None = field(default=None, repr=False)

    def __call__(self, connectome: Connectome) -> Signs:
        """Signs [E] of that connectome."""
        excites, inhibits = self.found(connectome)
        decided = excites.astype(np.int8) - inhibits
        elsewhere = _signs_by(self.base, connectome)
        return _chemical_only(connectome, np.where(excites ^ inhibits, decided, elsewhere))

    def found(self, connectome: Connectome) -> tuple[Mask, Mask]:
        """Which connections [E] meet a channel that excites, and which [E] one that inhibits.

        A connection may meet both or neither: it is then left to the base rule.
        """
        wires = connectome.connections
        sent = np.array(_first_transmitters(connectome), dtype=object)[wires.pre]
        channels = self._channels(connectome)
        masks = np.zeros((2, len(wires)), dtype=bool)
        for transmitter, opened in CHANNELS.items():
            for mask, kind in zip(masks, opened, strict=True):
                opens = np.array([not kind.isdisjoint(known) for known in channels], dtype=bool)
                mask |= wires.chemical & (sent == transmitter) & opens[wires.post]
        return masks[0], masks[1]

    def _channels(self, connectome: Connectome) -> list[set[str]]:
        given = celegans_receptors() if self.receptors is None else self.receptors
        known = {_unpadded(name): {gene.upper() for gene in genes} for name, genes in given.items()}
        return [known.get(_unpadded(name), set()) for name in connectome.cells.name]


by_receptor = ByReceptor()
"""Transmitter and receptor decide; where the receptors do not, `by_transmitter`.

Of the 3,709 chemical connections among the worm's neurons 1,445 meet only channels that excite and
389 only channels that inhibit; 353 meet both and 1,522 none. So 528 inhibit, where 214 do by
transmitter alone, and 330 signs differ. Of the 956 onto muscles 739 excite and 145 inhibit by their
channels, 72 are left to the transmitter, and no sign differs.
"""


@dataclass(frozen=True)
class Except:
    """A rule, but for the connections from some cells onto others.

    rule: the rule that holds elsewhere; another `Except` for exceptions to exceptions.
    pre, post: the cells before and behind, by name, class, kind or pattern, as in
        `Connectome.select`; all cells when left out.
    sign: -1, 0 or +1, for all chemical connections from `pre` onto `post`.

    The touch receptors of the worm inhibit its command interneurons in the model of Wicks et al.
    1996, doi 10.1523/JNEUROSCI.16-12-04017.1996:

        Except(by_transmitter, pre=TOUCH_RECEPTORS, post=COMMAND_INTERNEURONS, sign=-1)

    Raises ValueError for another sign, and when called KeyError for cells that are not there.
    """

    rule: SignRule
    _: KW_ONLY
    pre: str | tuple[str, ...] = "*"
    post: str | tuple[str, ...] = "*"
    sign: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "pre", _several(self.pre))
        object.__setattr__(self, "post", _several(self.post))
        _check_sign("sign", self.sign)

    def __call__(self, connectome: Connectome) -> Signs:
        """Signs [E] of that connectome."""
        wires = connectome.connections
        before = np.isin(wires.pre, connectome.select(*self.pre))
        behind = np.isin(wires.post, connectome.select(*self.post))
        elsewhere = _signs_by(self.rule, connectome)
        return _chemical_only(connectome, np.where(before & behind, self.sign, elsewhere))


def all_positive(connectome: Connectome) -> Signs:
    """Signs [E] when every chemical connection excites: the weights alone, a control."""
    return _chemical_only(connectome, np.ones(len(connectome.connections), np.int8))
