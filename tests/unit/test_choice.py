"""The cheapest setting that is not worse than the best, against a truth that is known."""

from __future__ import annotations

from random import Random

import pytest

from core.truth.choice import Tried, choose, difference, mcnemar

IMAGES = 60


def tried(chance: Random, *shares: float) -> list[Tried]:
    """Settings that are right with a chance each, the dearest first."""
    return [
        Tried(tuple(float(chance.random() < share) for _ in range(IMAGES)), 10.0 - place, 1.0)
        for place, share in enumerate(shares)
    ]


def called_worse(seeds: int, *shares: float, draws: int = 200) -> list[tuple[bool, ...]]:
    chosen = []
    for seed in range(seeds):
        chance = Random(seed)
        result = choose(tried(chance, *shares), chance, draws)
        chosen.append(tuple(one.worse for one in result.against))
    return chosen


def test_a_drop_of_20_points_is_found_in_9_of_10_seeds():
    assert sum(worse[1] for worse in called_worse(300, 0.95, 0.75)) >= 270


@pytest.mark.parametrize("share", [0.6, 0.8, 0.95])
def test_no_drop_is_claimed_in_at_most_1_of_20_seeds(share: float):
    assert sum(any(worse) for worse in called_worse(300, share, share)) <= 15


def test_with_five_settings_no_drop_is_claimed_in_at_most_1_of_20_seeds():
    assert sum(any(worse) for worse in called_worse(80, *[0.9] * 5, draws=100)) <= 4


def test_a_setting_that_is_much_worse_does_not_hide_another():
    images = tuple(1.0 for _ in range(IMAGES))
    some = tuple(float(place >= 9) for place in range(IMAGES))
    none = tuple(0.0 for _ in range(IMAGES))
    result = choose([Tried(images, 3, 1), Tried(some, 2, 1), Tried(none, 1, 1)], Random(0), 500)
    assert [one.worse for one in result.against] == [False, True, True]
    assert result.chosen == result.best == 0


def test_among_equals_the_cheapest_then_the_fastest_is_chosen():
    images = (1.0, 0.0, 1.0)
    settings = [Tried(images, 3, 1), Tried(images, 1, 9), Tried(images, 1, 2)]
    assert choose(settings, Random(0)).chosen == 2


def test_shares_of_several_fields_are_permuted():
    whole, half = tuple(1.0 for _ in range(12)), tuple(0.5 for _ in range(12))
    result = choose([Tried(whole, 2, 1), Tried(half, 1, 1)], Random(0), 400)
    assert result.against[1].worse
    assert result.chosen == 0


def test_mcnemar_is_the_published_mid_p():
    # Fagerland et al. 2013 (data of Bentur et al.): 1 and 7 discordant pairs, two-sided 0.0391
    assert 2 * mcnemar(1, 7) == pytest.approx(0.0391, abs=1e-4)
    assert mcnemar(0, 0) == 0.5


def test_the_interval_of_a_difference_is_not_a_point_when_nothing_differs():
    low, high = difference([1.0] * IMAGES, [1.0] * IMAGES)
    assert low == pytest.approx(-high)
    assert 0.03 < high < 0.06


def test_settings_over_other_images_are_refused():
    with pytest.raises(ValueError, match="same images"):
        choose([Tried((1.0,), 1, 1), Tried((1.0, 0.0), 1, 1)], Random(0))
