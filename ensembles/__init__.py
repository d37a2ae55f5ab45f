"""How predictions combine: arithmetic on stored probabilities.

A library of its own: it needs NumPy, SciPy and scikit-learn only, and knows nothing of networks.
"""

from ensembles._errors import EnsembleError
from ensembles.table import PredictionTable

__all__ = ["EnsembleError", "PredictionTable"]
