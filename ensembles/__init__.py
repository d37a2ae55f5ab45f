"""How predictions combine: arithmetic on stored probabilities.

A library of its own: it needs NumPy, SciPy and scikit-learn only, and knows nothing of networks.
Its estimators follow scikit-learn, with one difference: what they are fitted on is a list of
members' predictions, as :class:`PredictionTable` or as arrays of shape (n, k).

    ensemble = Ensemble(WeightedVoting()).fit([val_a, val_b, val_c])
    ensemble.predict_proba([test_a, test_b, test_c])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ensembles._errors import EnsembleError
from ensembles.table import PredictionTable, align

if TYPE_CHECKING:
    from ensembles._base import Combiner
    from ensembles.choice import Choice, choose, cross_validate
    from ensembles.comparison import Comparison, compare
    from ensembles.diversity import Diversity
    from ensembles.pipeline import METHODS, Ensemble
    from ensembles.selection import BestMember, GreedySelection, frugal
    from ensembles.stacking import Stacking
    from ensembles.voting import GeometricVoting, HardVoting, SoftVoting, WeightedVoting

_LAZY = {
    "BestMember": "selection",
    "Choice": "choice",
    "Combiner": "_base",
    "Comparison": "comparison",
    "Diversity": "diversity",
    "Ensemble": "pipeline",
    "GeometricVoting": "voting",
    "GreedySelection": "selection",
    "HardVoting": "voting",
    "METHODS": "pipeline",
    "SoftVoting": "voting",
    "Stacking": "stacking",
    "WeightedVoting": "voting",
    "choose": "choice",
    "compare": "comparison",
    "cross_validate": "choice",
    "frugal": "selection",
}
__all__ = [
    "METHODS",
    "BestMember",
    "Choice",
    "Combiner",
    "Comparison",
    "Diversity",
    "Ensemble",
    "EnsembleError",
    "GeometricVoting",
    "GreedySelection",
    "HardVoting",
    "PredictionTable",
    "SoftVoting",
    "Stacking",
    "WeightedVoting",
    "align",
    "choose",
    "compare",
    "cross_validate",
    "frugal",
]


def __getattr__(name: str) -> Any:
    # reading a table must not wait for the import of scikit-learn
    if name not in _LAZY:
        raise AttributeError(f"module 'ensembles' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ensembles.{_LAZY[name]}"), name)
