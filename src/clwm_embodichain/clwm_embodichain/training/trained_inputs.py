"""What a checkpoint says about its inputs, from what its training is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from clwm_common.actions import LAYOUT_VERSION, ROW_DT
from clwm_common.files.policy_document import PolicyInputs
from clwm_embodichain.episodes.choices import GoalChoice, asked_in
from clwm_embodichain.training.policy.losses import PREFIX_LENGTHS
from clwm_embodichain.training.policy.samples import HORIZON
from clwm_embodichain.training.sentence_limit import (
    best_limit,
    held_out_sentences,
    similarities,
    slot_values,
    unknown_sentences,
)
from clwm_perception.checkpoint import EncoderCheckpoint
from clwm_policy.model.known_sentences import KnownSentences
from clwm_sim.cameras import CAMERAS


def trained_inputs(
    choices: Sequence[GoalChoice], encoder: EncoderCheckpoint, embed: Callable[[str], Tensor]
) -> PolicyInputs:
    """Of a policy that is trained on the expert's episodes of `choices`, seen through `encoder`.

    embed: sentence -> (width,) embedding, as the policy is given them.
    """
    asked = asked_in(choices)
    inputs = PolicyInputs(
        cameras=CAMERAS,
        picture_size=encoder.preprocessing.size,
        layout_version=LAYOUT_VERSION,
        row_dt=ROW_DT,
        execution_horizons=(HORIZON,),
        prefix_lengths=tuple(sorted(set(PREFIX_LENGTHS))),
        sentences={choice.kind: choice.sentences for choice in asked},
    )
    return with_sentence_limit(inputs, asked, embed)


def with_sentence_limit(
    inputs: PolicyInputs, asked: Sequence[GoalChoice], embed: Callable[[str], Tensor]
) -> PolicyInputs:
    """These inputs with what the slots of their sentences name, and from which similarity on a sentence is known.

    asked: the goals that the sentences ask for.
    """
    inputs = inputs.model_copy(update={"slots": slot_values(asked)})
    known = KnownSentences(inputs, embed)
    held_out = [sentence for sentences in held_out_sentences(asked).values() for sentence in sentences]
    limit = best_limit(similarities(known, held_out), similarities(known, unknown_sentences()))
    return inputs.model_copy(update={"least_similarity": round(limit, 4)})
