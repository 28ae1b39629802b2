"""Parts of expansion: how they are asked for, and that none changes what another one draws."""

import pytest

from clwm_embodichain.expansion.parts import PARTS, Expansion, ExpansionError, generator


@pytest.mark.parametrize("text", ["none", "all", "visual", "physics,recovery"])
def test_expansion_is_written_as_it_is_read(text):
    assert str(Expansion.parse(text)) == text


def test_all_parts_by_name_are_all_and_their_order_does_not_matter():
    assert Expansion.parse("recovery, visual,reachability,mounting,physics") == Expansion.parse("all")
    assert [part for part in PARTS if part in Expansion.parse("recovery,visual")] == ["visual", "recovery"]


@pytest.mark.parametrize("text", ["gravity", "visual,gravity", "", "all,visual"])
def test_unknown_part_is_refused_with_those_that_exist(text):
    with pytest.raises(
        ExpansionError, match="expected all, none, or some of visual,physics,reachability,recovery,mounting"
    ):
        Expansion.parse(text)


def test_parts_draw_different_numbers_and_each_the_same_again():
    first = {part: generator(7, part).random(3).tolist() for part in PARTS}
    assert len({tuple(numbers) for numbers in first.values()}) == len(PARTS)
    assert first == {part: generator(7, part).random(3).tolist() for part in PARTS}
    assert first["visual"] != generator(8, "visual").random(3).tolist()
