"""Why an ensemble works or does not: where its members err, together or apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensembles._base import Predictions, labelled
from ensembles._errors import EnsembleError
from ensembles.probabilities import true_class
from ensembles.selection import member_losses


@dataclass(frozen=True)
class Diversity:
    """How members differ on samples that none was fitted on.

    Attributes:
        disagreement: float64 of shape (m, m): share of samples with another first choice.
        double_fault: float64 of shape (m, m): share of samples that both get wrong (Giacinto and
            Roli 2001); on the diagonal a member's own error rate.
        overlap: float64 of shape (m, m): of the samples that at least one of the two gets wrong,
            the share that both do (Jaccard index); 1 if neither errs.
        losses: float64 of shape (m,): each member's log loss.
        contributions: float64 of shape (m,): how much the log loss of the plain mean would rise
            without the member; negative if it would fall.
        unsolved: share of samples that all members get wrong.
    """

    disagreement: np.ndarray
    double_fault: np.ndarray
    overlap: np.ndarray
    losses: np.ndarray
    contributions: np.ndarray
    unsolved: float

    @classmethod
    def of(cls, tables: Predictions, y: np.ndarray | None = None) -> Diversity:
        """Compare members by pairs, and each with the rest.

        Args:
            tables: predictions of at least 2 members.
            y: int of shape (n,); that of the tables if None.

        Raises:
            EnsembleError: tables that do not fit each other, or fewer than two.
        """
        probabilities, labels, _ = labelled(tables, y)
        if len(probabilities) < 2:
            raise EnsembleError("members are compared with each other: give at least two")
        first = probabilities.argmax(axis=2)
        wrong = (first != labels).astype(np.float64)
        both = wrong @ wrong.T
        single = wrong.sum(axis=1)
        either = single[:, None] + single - both
        chosen = true_class(probabilities, labels)
        members, total = len(chosen), chosen.sum(axis=0)
        without = member_losses((total - chosen) / (members - 1))
        return cls(
            disagreement=np.array([(first != row).mean(axis=1) for row in first]),
            double_fault=both / len(labels),
            overlap=np.divide(both, either, out=np.ones_like(both), where=either > 0),
            losses=member_losses(chosen),
            contributions=without + np.log(total / members).mean(),
            unsolved=float(wrong.all(axis=0).mean()),
        )
