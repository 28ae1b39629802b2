"""What a checkpoint says about its inputs, from what its training is made of."""

from __future__ import annotations

from collections.abc import Sequence

from clwm_common.actions import LAYOUT_VERSION, ROW_DT
from clwm_common.files.policy_document import PolicyInputs
from clwm_embodichain.episodes.choices import GoalChoice, asked_in
from clwm_embodichain.training.policy.losses import PREFIX_LENGTHS
from clwm_embodichain.training.policy.samples import HORIZON
from clwm_perception.checkpoint import EncoderCheckpoint
from clwm_sim.cameras import CAMERAS


def trained_inputs(choices: Sequence[GoalChoice], encoder: EncoderCheckpoint) -> PolicyInputs:
    """Of a policy that is trained on the expert's episodes of `choices`, seen through `encoder`."""
    return PolicyInputs(
        cameras=CAMERAS,
        picture_size=encoder.preprocessing.size,
        layout_version=LAYOUT_VERSION,
        row_dt=ROW_DT,
        execution_horizons=(HORIZON,),
        prefix_lengths=tuple(sorted(set(PREFIX_LENGTHS))),
        sentences={choice.kind: choice.sentences for choice in asked_in(choices)},
    )
