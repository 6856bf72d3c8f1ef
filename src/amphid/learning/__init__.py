"""Change parameters so that a number improves: within a run, and from run to run."""

from amphid.learning.evolution.covariance import CMAES
from amphid.learning.evolution.evolve import evolve
from amphid.learning.evolution.evolving import Evolved, Evolving
from amphid.learning.evolution.individuals import Aging, Cloning, Recombination
from amphid.learning.evolution.islands import Islands
from amphid.learning.evolution.meters import Inbreeding, InbreedingWarning, InbreedingWatch
from amphid.learning.evolution.natural import SNES, OpenAIES
from amphid.learning.evolution.niches import MapElites, Novelty
from amphid.learning.evolution.population import Population
from amphid.learning.evolution.scheme import Scheme
from amphid.learning.fitting.fit import fit
from amphid.learning.fitting.guard import DirectionGuard
from amphid.learning.fitting.history import History, Progress
from amphid.learning.fitting.plan import EachUpdate
from amphid.learning.fitting.stopping import EarlyStopping
from amphid.learning.fitting.stretches import Stretches
from amphid.learning.gradient_report import GradientReport, gradient_report
from amphid.learning.gradients.auto import Auto
from amphid.learning.gradients.averaged import Averaged
from amphid.learning.gradients.backprop import Backprop
from amphid.learning.gradients.cells.activity import ActivityPerturbation
from amphid.learning.gradients.cells.responses import CellPerturbation
from amphid.learning.gradients.cells.weak_grad import WeakGrad, least_squares, smoothed
from amphid.learning.gradients.corrected import Corrected
from amphid.learning.gradients.credit import Credited
from amphid.learning.gradients.eprop import EProp
from amphid.learning.gradients.estimator import Estimator
from amphid.learning.gradients.factored import Factored
from amphid.learning.gradients.feedback import AdaptiveFeedback, RandomFeedback, SymmetricFeedback
from amphid.learning.gradients.grouped import Frozen, Grouped
from amphid.learning.gradients.objective import Activity, Mean, Objective, Penalty
from amphid.learning.gradients.ostl import OSTL
from amphid.learning.gradients.ottt import OTTT
from amphid.learning.gradients.population import losses_of
from amphid.learning.gradients.rtrl import RTRL
from amphid.learning.gradients.sharing import Sharing
from amphid.learning.gradients.spread import Spread
from amphid.learning.gradients.then import Then
from amphid.learning.gradients.weak.balanced import Hadamard, Orthogonal, Sobol
from amphid.learning.gradients.weak.designs import Gaussian, LowRank, Rademacher
from amphid.learning.gradients.weak.guided import Guided
from amphid.learning.gradients.weak.kernels import BumpKernel, GaussianKernel
from amphid.learning.gradients.weak.mollified import (
    Antithetic,
    Mollified,
    OneSided,
    Raw,
    centered_ranks,
)
from amphid.learning.gradients.weak.regression import Memory, Regression
from amphid.learning.gradients.weak.report import WeakReport
from amphid.learning.gradients.weak.schedules import Annealed
from amphid.learning.gradients.weak.scopes import Alternating, Everything
from amphid.learning.gradients.weak.solvers import LeastSquares, MinimumNorm, Ridge
from amphid.learning.gradients.weak.spsa import SPSA
from amphid.learning.landscape import (
    LossLine,
    LossPlane,
    loss_line,
    loss_plane,
    random_direction,
)
from amphid.learning.losses.latency import FirstSpikeCrossEntropy, FirstSpikeError, first_spike
from amphid.learning.losses.rate import CountCrossEntropy, PoissonLikelihood, RateError
from amphid.learning.losses.trains import Correlation, VanRossum, VictorPurpura
from amphid.learning.modulated import Modulated
from amphid.learning.pair import STDP
from amphid.learning.penalties import L1, L2, Balance, RateBounds, Saturation, TotalSpikes
from amphid.learning.post_triggered import PostTriggered
from amphid.learning.pruning.prune import Sparsity, prune, prune_in_rounds, sparsity
from amphid.learning.pruning.rankings import AtRandom, ByEmergence, ByMagnitude, BySynapticFlow
from amphid.learning.pruning.smaller import pruned_network, smaller
from amphid.learning.reward import Reward
from amphid.learning.rule import Rule, all_spikes, between, nearest_spike
from amphid.learning.searching import (
    GP,
    TPE,
    Choice,
    Found,
    Grid,
    Integers,
    LogUniform,
    Pruned,
    Random,
    Trial,
    Tried,
    Uniform,
    found,
    search,
)
from amphid.learning.starting.draws import Kaiming, OrthogonalWeights, Xavier
from amphid.learning.starting.grad_init import GradInit
from amphid.learning.starting.initialize import initialize
from amphid.learning.starting.lsuv import LSUV
from amphid.learning.starting.rates import layer_rates
from amphid.learning.starting.scales import (
    Emergence,
    PermutedScales,
    Started,
    scales,
    usual_alpha,
)
from amphid.learning.surrogate_audit import Agreement, SurrogateAudit, surrogate_audit, trend_angle
from amphid.learning.surrogate_widths import scale_surrogates
from amphid.learning.symmetric import InhibitorySTDP
from amphid.learning.triplet import TripletSTDP
from amphid.learning.weight_scales import rises_per_ms, scale_weights

__all__ = [
    "CMAES",
    "GP",
    "L1",
    "L2",
    "LSUV",
    "OSTL",
    "OTTT",
    "RTRL",
    "SNES",
    "SPSA",
    "STDP",
    "TPE",
    "Activity",
    "ActivityPerturbation",
    "AdaptiveFeedback",
    "Aging",
    "Agreement",
    "Alternating",
    "Annealed",
    "Antithetic",
    "AtRandom",
    "Auto",
    "Averaged",
    "Backprop",
    "Balance",
    "BumpKernel",
    "ByEmergence",
    "ByMagnitude",
    "BySynapticFlow",
    "CellPerturbation",
    "Choice",
    "Cloning",
    "Corrected",
    "Correlation",
    "CountCrossEntropy",
    "Credited",
    "DirectionGuard",
    "EProp",
    "EachUpdate",
    "EarlyStopping",
    "Emergence",
    "Estimator",
    "Everything",
    "Evolved",
    "Evolving",
    "Factored",
    "FirstSpikeCrossEntropy",
    "FirstSpikeError",
    "Found",
    "Frozen",
    "Gaussian",
    "GaussianKernel",
    "GradInit",
    "GradientReport",
    "Grid",
    "Grouped",
    "Guided",
    "Hadamard",
    "History",
    "Inbreeding",
    "InbreedingWarning",
    "InbreedingWatch",
    "InhibitorySTDP",
    "Integers",
    "Islands",
    "Kaiming",
    "LeastSquares",
    "LogUniform",
    "LossLine",
    "LossPlane",
    "LowRank",
    "MapElites",
    "Mean",
    "Memory",
    "MinimumNorm",
    "Modulated",
    "Mollified",
    "Novelty",
    "Objective",
    "OneSided",
    "OpenAIES",
    "Orthogonal",
    "OrthogonalWeights",
    "Penalty",
    "PermutedScales",
    "PoissonLikelihood",
    "Population",
    "PostTriggered",
    "Progress",
    "Pruned",
    "Rademacher",
    "Random",
    "RandomFeedback",
    "RateBounds",
    "RateError",
    "Raw",
    "Recombination",
    "Regression",
    "Reward",
    "Ridge",
    "Rule",
    "Saturation",
    "Scheme",
    "Sharing",
    "Sobol",
    "Sparsity",
    "Spread",
    "Started",
    "Stretches",
    "SurrogateAudit",
    "SymmetricFeedback",
    "Then",
    "TotalSpikes",
    "Trial",
    "Tried",
    "TripletSTDP",
    "Uniform",
    "VanRossum",
    "VictorPurpura",
    "WeakGrad",
    "WeakReport",
    "Xavier",
    "all_spikes",
    "between",
    "centered_ranks",
    "evolve",
    "first_spike",
    "fit",
    "found",
    "gradient_report",
    "initialize",
    "layer_rates",
    "least_squares",
    "loss_line",
    "loss_plane",
    "losses_of",
    "nearest_spike",
    "prune",
    "prune_in_rounds",
    "pruned_network",
    "random_direction",
    "rises_per_ms",
    "scale_surrogates",
    "scale_weights",
    "scales",
    "search",
    "smaller",
    "smoothed",
    "sparsity",
    "surrogate_audit",
    "trend_angle",
    "usual_alpha",
]
