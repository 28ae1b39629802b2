"""The policy's own estimate of whether what was asked for holds, as far as its success head can tell."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from numpy.typing import ArrayLike

from clwm_common.files.policy_document import CheckpointError
from clwm_policy.errors import NoEstimate
from clwm_policy.model.known_sentences import KnownSentences
from clwm_policy.model.language import pooled
from clwm_policy.model.success_head import FILE_NAME, TRAIN_AGAIN, SuccessFacts, SuccessHead, load_success_head


class SuccessEstimate:
    """Reads features; changes nothing of what the policy does. Calls may come from several threads."""

    def __init__(self, head: SuccessHead, facts: SuccessFacts, known: KnownSentences) -> None:
        """known: the sentences of the policy that the head belongs to."""
        self._head, self.facts, self._known = head, facts, known

    @torch.inference_mode()
    def probability(self, features: ArrayLike, instruction: str) -> float:
        """That what the instruction asks for holds in features (cameras, rows, columns, C).

        NaN when the head cannot tell: for an instruction that `require` would refuse, or features of another shape.
        """
        features = torch.as_tensor(features)
        sizes = self._head.sizes
        if tuple(features.shape) != (sizes.cameras, sizes.rows, sizes.columns, sizes.channels):
            return math.nan
        if self._problem_with(instruction):
            return math.nan
        language = pooled(self._known.embed(instruction))[None]
        return float(torch.sigmoid(self._head(features[None], language)))

    def require(self, instruction: str) -> SuccessFacts:
        """What may be relied on for this instruction. Raises NoEstimate when the head does not know its goal."""
        if problem := self._problem_with(instruction):
            raise NoEstimate(f"{problem}; let the world or an operator judge it")
        return self.facts

    def _problem_with(self, instruction: str) -> str:
        if self._known.problem_with(instruction):
            return f"the policy's estimate of success knows nothing of '{instruction[:100]}'"
        goal = self._known.nearest(instruction).goal
        if goal not in self.facts.goals:
            return f"the policy's estimate of success knows {', '.join(self.facts.goals)}, and not {goal}"
        return ""


def load_success_estimate(checkpoint: Path, encoder_hash: str, known: KnownSentences) -> SuccessEstimate:
    """The estimate beside the policy `checkpoint` (.safetensors), for features of this encoder.

    Raises CheckpointError when there is none, or it is not whole, or of another encoder.
    """
    path = checkpoint.with_name(FILE_NAME)
    if not path.exists():
        raise CheckpointError(f"the policy has no success head ({path} is not there); {TRAIN_AGAIN}")
    head, facts = load_success_head(path)
    if facts.encoder_sha256 != encoder_hash:
        raise CheckpointError(
            f"{path} reads features of encoder {facts.encoder_sha256[:12]}..., the policy's is {encoder_hash[:12]}...; "
            f"{TRAIN_AGAIN}"
        )
    return SuccessEstimate(head, facts, known)
