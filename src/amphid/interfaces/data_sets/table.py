"""The data sets, one literal table.

What proves a copy is taken from the commit that an address names: the sha256 of the file, or, where
only the listing of the commit is known here, the object id that git gives the file.
"""

from __future__ import annotations

import difflib
from functools import partial

from amphid.interfaces.data_sets import neuropal, reading, worm_web_sim
from amphid.interfaces.data_sets.data_set import DataSet, FileSet, RemoteFile
from amphid.wiring import flies

_GITHUB = "https://raw.githubusercontent.com"
_FLYWIRE = f"{_GITHUB}/philshiu/Drosophila_brain_model/91bdd1e7dcf193f3e7ca5a8933497fcef63b7960"
_LARVA = (
    f"{_GITHUB}/brain-networks/larval-drosophila-connectome/"
    "15e065f5c29f08c96ccd64ea8fe0f51510629009"
)
_TYPES = f"{_GITHUB}/murthylab/visual-system-parts-list/0d8574d46627ce7fadd968a3c5d602e837325373"
_WORM_SIM = f"{_GITHUB}/heyseth/worm-sim/cc13ed8ec7f4174aec76181f9b2bcb6e34a225e1"
_C302 = f"{_GITHUB}/openworm/c302/9cccbab97fbaa5e682e128b0e819a5fb6c129618"

_FLAVELL = f"{_GITHUB}/flavell-lab/NSM_5HTR_analysis/47bc3704c13b389d58946e3e76df359c412b8716"
_REACHED = f"{_GITHUB}/Mario-RC/Computer-Brain-Interface/dfbcb7679ffb85bc645640e012f160464a4cfec3"
_MNIST = f"{_GITHUB}/fgnt/mnist/ae608a02b796c9ee908c082585a5f006fe05258e"
_NAVIS = f"{_GITHUB}/navis-org/navis/ae9f0422eb4aab8045803f1ba93dcc8ed684ab18"

_FLYWIRE_LICENSE = "FlyWire data: CC BY 4.0, with the FlyWire principles (codex.flywire.ai)"

_LARVA_ARCHIVE = RemoteFile(
    flies.LARVA_ARCHIVE,
    f"{_LARVA}/{flies.LARVA_ARCHIVE}",
    1_107_380,
    sha256="8c1f43809ed5d527ba61b154e377cc21da26383a75eda8aab85ce05607a72a4c",
)


def _larva(contacts: flies.Contacts, connections: int) -> DataSet:
    """The larva with some of its contacts; its archive holds them all."""
    whole = contacts == "all"
    return DataSet(
        name="larval-drosophila" if whole else f"larval-fly-{flies.MATRICES[contacts]}",
        also=("larval-fly",) if whole else (f"larval-fly-{contacts}",),
        folder=flies.LARVA,
        title="fly larva, whole brain" if whole else f"the same, {contacts}",
        cells=2952,
        connections=connections,
        files=(_LARVA_ARCHIVE,),
        license="not stated: supplementary data of the article, to be cited",
        citation=flies.LARVA_REFERENCE,
        read=partial(reading.larval_drosophila, contacts=contacts),
    )


DATA_SETS: dict[str, DataSet] = {
    data.name: data
    for data in (
        _larva("all", 110_677),
        _larva("axo-dendritic", 63_545),
        _larva("axo-axonic", 40_636),
        _larva("dendro-axonic", 3722),
        _larva("dendro-dendritic", 9019),
        DataSet(
            name="flywire-783",
            folder=flies.FLYWIRE,
            title="adult fly, brain, FlyWire version 783",
            cells=138_639,
            connections=None,
            files=(
                RemoteFile(
                    "Completeness_783.csv",
                    f"{_FLYWIRE}/Completeness_783.csv",
                    3_327_347,
                    sha256="bbb847a4cc2caaa7a16349722d220c087317b946d148d4d592d94d250617a311",
                ),
                RemoteFile(
                    "Connectivity_783.parquet",
                    f"{_FLYWIRE}/Connectivity_783.parquet",
                    git="d386555d1a5f40ebfa1380bcb05b1fab044855fd",
                ),
            ),
            license=_FLYWIRE_LICENSE,
            citation=flies.FLYWIRE_REFERENCE,
            read=reading.flywire,
        ),
        DataSet(
            name="flywire-630",
            folder=flies.FLYWIRE,
            title="the same, version 630",
            cells=127_400,
            connections=None,
            files=(
                RemoteFile(
                    "2023_03_23_completeness_630_final.csv",
                    f"{_FLYWIRE}/2023_03_23_completeness_630_final.csv",
                    3_057_611,
                    sha256="e6b71e17671a9bdb05f55e4bc6774640a1418cb7a05125e0fc994ad40f9bfdfb",
                ),
                RemoteFile(
                    "2023_03_23_connectivity_630_final.parquet",
                    f"{_FLYWIRE}/2023_03_23_connectivity_630_final.parquet",
                    git="8b4d9531bc0acbda7c2074ae577e6ac9e2fca166",
                ),
            ),
            license=_FLYWIRE_LICENSE,
            citation=flies.FLYWIRE_REFERENCE,
            read=reading.flywire,
        ),
        DataSet(
            name="flywire-visual-types",
            folder="flywire_visual_types",
            title="adult fly, visual system by cell type",
            cells=742,
            connections=72_954,
            files=(
                RemoteFile(
                    "type_to_type_connection_and_synapse_counts.csv",
                    f"{_TYPES}/data/type_to_type_connection_and_synapse_counts.csv",
                    2_159_275,
                    sha256="215cf7a65895f9f84768db34052964542f7ebbe986ce9864b7e9ed2976c55e38",
                ),
            ),
            license="Apache-2.0; " + _FLYWIRE_LICENSE,
            citation="Matsliah et al. 2024, Nature; preprint doi 10.1101/2023.10.12.562119.",
            read=reading.visual_types,
        ),
        DataSet(
            name="worm-web-sim",
            folder="worm_web_sim",
            title="worm of the web, signed weights",
            cells=397,
            connections=3689,
            files=(
                RemoteFile(
                    "constants.js",
                    f"{_WORM_SIM}/js/constants.js",
                    44_341,
                    sha256="6ebbd0b09216186c149e65110e8c86da9f4132f542e283ed6820ace339ab02ba",
                ),
                RemoteFile(
                    "connectome.js",
                    f"{_WORM_SIM}/js/connectome.js",
                    22_520,
                    sha256="d73bbce5260e252ed2e52a02a16a7deff50f9e720527d173c7dc47ae9603054d",
                ),
            ),
            license="MIT, Copyright 2017 Seth Miller",
            citation="S. Miller, worm-sim; after the GoPiGo connectome of T. Busbice and others.",
            read=reading.worm_web_sim,
            extract=worm_web_sim.extract,
            extracted=worm_web_sim.TABLES,
        ),
        DataSet(
            name="c302",
            folder="celegans_anatomy",
            title="worm, NeuroML network of c302",
            cells=397,
            connections=3915,
            files=(
                RemoteFile(
                    "c302_C0_Full.net.nml",
                    f"{_C302}/examples/c302_C0_Full.net.nml",
                    1_553_157,
                    sha256="b3143316c646faa753a762c703428d6f6534b49a8eab87947610275dd2e7e78d",
                ),
            ),
            license="MIT",
            citation="c302: Gleeson et al. 2018, Phil Trans R Soc B 373:20170379, doi "
            "10.1098/rstb.2017.0379.",
            read=reading.neuroml,
        ),
    )
}

_DIGITS = FileSet(
    name="mnist",
    also=("digits",),
    folder="mnist",
    title="70,000 handwritten digits",
    files=tuple(
        RemoteFile(f"{name}-ubyte.gz", f"{_MNIST}/{name}-ubyte.gz", size, sha256=sha256)
        for name, size, sha256 in (
            (
                "train-images-idx3",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            (
                "train-labels-idx1",
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            (
                "t10k-images-idx3",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            (
                "t10k-labels-idx1",
                4542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        )
    ),
    license="not stated by its authors; commonly given as CC BY-SA 3.0",
    citation="LeCun, Bottou, Bengio, Haffner 1998, Proc IEEE 86:2278, doi 10.1109/5.726791.",
    study="digits-spiking",
)

_ANIMALS = {
    "swf415_no_id": {
        "2022-01-16-01": "139259b6781806ba950e56ea9ebff142e12f16a7",
        "2022-01-25-01": "e43f6f3b5da608af1a390b7c28068f59e40617b6",
        "2022-03-17-01": "2ab725c0fd01e78a771f20e3ee136a27315e9997",
        "2022-03-25-03": "061f0e9bf5b9e10088a38c4573959b9aa026cfbe",
        "2022-04-05-01": "1313e10db72c52bd59158d0d1c22922f975cdf4a",
        "2022-04-12-02": "57d16c60d2abf7e851aeb9c097a92dcc9d1fb064",
        "2022-05-02-01": "0281b59dc96ab8aa4fb1864abdd47f6bc28e9ee1",
    },
    "swf702_with_id": {
        "2022-07-26-31": "2f1f5304ebc713c3fcda043bd78de115e8cb079d",
        "2022-07-26-38": "78798d682e8706f5f3de667c76eb1f9e20a3cebd",
        "2022-07-27-31": "e4a0b5fc18da3e9d5e405fda1dff3a740c420833",
        "2022-07-27-38": "da1baacaead73ea06baa251ae975c08c910034a9",
        "2022-07-27-45": "308f819bb7518d94f75c4ed4113f4c364bf6d6fd",
        "2022-08-02-31": "6c0fbcec03dea5637fdb1d2d734318c96daf21fc",
        "2022-08-02-38": "148e5cb1fcdd7ef5abbd62c896639ac1e9ac6a44",
        "2022-08-03-31": "93b5e2ed9070d3e39a1d6bc9f924e25d6734399b",
    },
}

_WORMS = FileSet(
    name="worm-recordings",
    also=("celegans-calcium",),
    folder="celegans_calcium_flavell",
    title="calcium of 15 worm brains",
    files=(
        RemoteFile(
            neuropal.LABELS,
            f"{_FLAVELL}/data/receptor_expression/{neuropal.LABELS}",
            2_092_963,
            git="d8ab6cd5cf1625927b8b8a124568cb125685e929",
        ),
        *(
            RemoteFile(f"{animal}-data.h5", f"{_FLAVELL}/data/{strain}/{animal}-data.h5", git=git)
            for strain, animals in _ANIMALS.items()
            for animal, git in animals.items()
        ),
    ),
    license="not stated",
    citation="Dag et al. 2023, Cell 186:2574, doi 10.1016/j.cell.2023.04.023.",
    extract=neuropal.extract,
    extracted=(neuropal.EXTRACTED,),
    study="worm-forecast",
)

_REACHES = FileSet(
    name="center-out",
    also=("reaches",),
    folder="motor_center_out",
    title="286 reaches, 84 cells of motor cortex",
    files=(
        RemoteFile(
            "center_out_data.mat",
            f"{_REACHED}/center_out_data.mat",
            1_642_048,
            git="9467f97d142dd4b24d1b9eb9350dce4d93ee6ef6",
        ),
    ),
    license="not stated",
    citation="Layout of Perich, Gallego, Miller 2018, doi 10.1016/j.neuron.2018.09.030.",
    study="neural-latents",
)

_SKELETONS = FileSet(
    name="skeletons",
    folder="skeletons_swc",
    title="4 neurons of the fly, traced as trees",
    files=tuple(
        RemoteFile(f"{body}.swc", f"{_NAVIS}/navis/data/swc/{body}.swc", size, sha256=sha256)
        for body, size, sha256 in (
            (
                722817260,
                180_566,
                "9148036d2dcfa9e326f06965af22ae5635012614bb0cc8dbb874005159eea646",
            ),
            (
                754534424,
                196_149,
                "4a76f16e96acc2b4e47bccc6d10d0fa34c769ea7b4bca25c760a69469ace5ab4",
            ),
            (
                754538881,
                203_784,
                "3a7755b9573a46f3369084d8608e3f6ed1a357ac46130229c65cdbd7e9f9882f",
            ),
            (
                1734350908,
                202_611,
                "c770ad9cabb3e69b478eea67b607e60a5d238ce7736a2c8632b8315e6bfeded4",
            ),
        )
    ),
    license="CC BY 4.0 (hemibrain)",
    citation="Scheffer et al. 2020, eLife 9:e57443, doi 10.7554/eLife.57443.",
)

TASK_DATA: dict[str, FileSet] = {
    data.name: data for data in (_DIGITS, _WORMS, _REACHES, _SKELETONS)
}
"""Images, recordings and single neurons: what is measured, in files without a connectome."""

ELSEWHERE: dict[str, tuple[str, str]] = {
    "eeg-bci2-iv": (
        "bbci.de/competition/ii",
        "asks for a name there: save the MATLAB file in the folder eeg_bci2_iv under AMPHID_DATA",
    ),
    "flywire-codex": (
        "codex.flywire.ai/api/download",
        "needs an account there: save the connections as CSV and name that file",
    ),
    "hemibrain": (
        "neuprint.janelia.org",
        "needs an account there: save the connections as CSV or Parquet and name that file",
    ),
    "celegans-other": (
        "wormwiring.org",
        "other tables of the worm, no checksum known here: the Python package cect holds them",
    ),
}
"""Wiring and recordings that are not fetched: their address, and why."""


def named(typed: str) -> DataSet | None:
    """The data set of that name, one of its other names, or that folder; None where it is none."""
    name = typed.strip().lower().replace("_", "-")
    by_folder = {data.folder.replace("_", "-"): data for data in reversed(DATA_SETS.values())}
    also = {other: data for data in DATA_SETS.values() for other in data.also}
    return DATA_SETS.get(name) or also.get(name) or by_folder.get(name)


def data_set(name: str) -> FileSet:
    """The data set that `named` finds, or the data of a task.

    Raises KeyError, with near names or the way out, when it is none that can be fetched.
    """
    if found := named(name):
        return found
    typed = name.strip().lower().replace("_", "-")
    for data in TASK_DATA.values():
        if typed in (data.name, data.folder.replace("_", "-"), *data.also):
            return data
    if typed in ELSEWHERE:
        address, reason = ELSEWHERE[typed]
        raise KeyError(f"{typed} is at {address} and cannot be fetched from here: {reason}.")
    known = [*DATA_SETS, *TASK_DATA]
    close = difflib.get_close_matches(typed, [*known, *ELSEWHERE], n=2)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    raise KeyError(f"There is no data set {name!r}.{hint} There are {', '.join(known)}.")
