"""The supervision's geometry and masks."""

import pytest
import torch

from clwm_embodichain.training.encoder.heads import (
    POINTS,
    cells_of,
    gated_loss,
    local_loss,
    pose_loss,
    positions,
    segment_loss,
)
from clwm_embodichain.training.encoder.roles import SEGMENTS


class Oracle(torch.nn.Module):
    """Answers with the cell in which all points lie, and where in it."""

    def __init__(self, position, side):
        super().__init__()
        self.position, self.side = position, side

    def forward(self, grid):
        cell = self.position.floor().long()
        index = cell[..., 1] * self.side + cell[..., 0]
        logits = 50.0 * torch.nn.functional.one_hot(index, self.side**2 + 1).float()
        return logits, (self.position - cell - 0.5).unsqueeze(2).expand(-1, -1, self.side**2, -1)


def test_an_answer_that_describes_the_pixels_costs_nothing_and_another_one_does():
    pixels = torch.tensor([[[10.25, 100.75]] * POINTS])
    present = torch.ones(1, POINTS, dtype=torch.bool)
    position, visible = positions(pixels, present, 4, 128)
    assert visible.all() and torch.allclose(position[0, 0], torch.tensor([(10.25 + 0.5) / 32, (100.75 + 0.5) / 32]))
    grid = torch.zeros(1, 4, 4, 8)
    assert all(loss < 1e-6 for loss in local_loss(Oracle(position, 4), grid, pixels, present, 128))
    assert all(loss > 0.05 for loss in local_loss(Oracle(position - 0.4, 4), grid, pixels, present, 128))


@pytest.mark.parametrize("pixel", [(-0.6, 5.0), (5.0, 127.6), (float("nan"), 5.0)])
def test_a_point_outside_the_picture_or_behind_the_camera_is_not_visible(pixel):
    _, visible = positions(torch.tensor([[pixel]]), torch.ones(1, 1, dtype=torch.bool), 8, 128)
    assert not visible.any()


def test_a_patch_is_asked_for_the_shares_of_what_it_shows():
    segments = torch.zeros(1, 8, 8, dtype=torch.uint8)
    segments[0, 0, :4] = 3  # a quarter of the first of four patches
    head = torch.nn.Linear(4, len(SEGMENTS))
    with torch.no_grad():
        head.weight.zero_(), head.bias.fill_(-30.0)
        head.bias[0], head.bias[3] = torch.tensor(0.75).log(), torch.tensor(0.25).log()
    grid = torch.zeros(1, 2, 2, 4)
    entropy = -(0.75 * torch.tensor(0.75).log() + 0.25 * torch.tensor(0.25).log())
    pure = -torch.tensor(0.75).log()
    assert segment_loss(head, grid, segments).item() == pytest.approx(float((entropy + 3 * pure) / 4), rel=1e-4)


def test_absent_objects_cost_nothing():
    poses = torch.randn(3, 2, 5)
    asked = torch.zeros(3, 2, 5, dtype=torch.bool)
    asked[:, 0] = True
    estimate = poses.clone()
    estimate[:, 1] += 7.0
    assert pose_loss(estimate, poses, asked) == 0.0
    assert pose_loss(poses + 1.0, poses, asked) > 0.5
    assert pose_loss(estimate, poses, torch.zeros_like(asked)) == 0.0


def test_a_sum_over_cells_finds_things_when_gated_answers_cost_nothing():
    cells = torch.tensor([[1, 3]])
    lies = torch.tensor([[True, False]])  # the second thing is not in the picture
    values = torch.tensor([[[0.3, -0.2], [0.5, 0.5]]])
    # One channel for each cell, so that a linear head can say anything in any of them.
    grid, head = torch.eye(4).reshape(1, 2, 2, 4), torch.nn.Linear(4, 2 * 3)
    with torch.no_grad():
        head.weight.zero_(), head.bias.zero_()
        head.weight[:3, 1] = torch.tensor([1.0, 0.3, -0.2])
    assert gated_loss(head, grid, cells, lies, values) < 1e-12
    found = head(grid.flatten(1, 2)).sum(dim=1).unflatten(1, (2, 3))
    torch.testing.assert_close(found, torch.tensor([[[1.0, 0.3, -0.2], [0.0, 0.0, 0.0]]]))
    with torch.no_grad():
        head.weight[:3, 1], head.weight[:3, 2] = 0.0, torch.tensor([1.0, 0.3, -0.2])
    assert gated_loss(head, grid, cells, lies, values) > 0.3


def test_cells_are_counted_row_by_row_and_a_place_behind_the_camera_is_no_error():
    places = torch.tensor([[0.5, 0.5], [3.9, 0.1], [0.2, 1.7], [float("nan"), 9.0]])
    assert cells_of(places, 4)[:3].tolist() == [0, 3, 4] and 0 <= cells_of(places, 4)[3] < 16
