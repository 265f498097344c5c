"""The sandbox's model that gets worse with company."""

from __future__ import annotations

from hashlib import sha256

import pytest

from overstory.sandbox.answers.observation import Observation, only
from overstory.sandbox.answers.tired import chance_of_error, mistaken
from overstory.sandbox.models import MODELS, TIRED, find_model
from overstory.sandbox.vision.colours import COLOURS

CONTENTS = [sha256(str(place).encode()).hexdigest() for place in range(60)]
SEEN = [
    Observation(place + 1, f"mostly {COLOURS[place % 13]}", (COLOURS[place % 13], "bright"))
    for place in range(60)
]
LABELS = "\n".join(f"Image {place + 1}:" for place in range(60))


def wrong(images: int, seed: int = 0, text: str = LABELS, tires: float = 1.0) -> list[int]:
    views = mistaken(SEEN[:images], CONTENTS[:images], text, tires, seed)
    assert [view.marker for view in views] == [image.marker for image in SEEN[:images]]
    return [
        view.marker
        for view, image in zip(views, SEEN[:images], strict=True)
        if view.words != image.words
    ]


def share(images: int, **how: str) -> float:
    return sum(len(wrong(images, seed, **how)) for seed in range(40)) / (40 * images)


def test_an_image_that_is_alone_is_never_mistaken():
    assert not any(wrong(1, seed) for seed in range(100))


def test_mistakes_grow_with_the_images_of_a_request():
    shares = [share(images) for images in (5, 15, 30, 60)]
    assert shares == sorted(shares)
    # three quarters of the last image's chance, which is the mean over the positions of 60
    assert shares[-1] == pytest.approx(0.75, abs=0.03)
    assert shares[0] < 0.1


def test_mistakes_grow_with_the_position():
    late = [marker for seed in range(40) for marker in wrong(60, seed)]
    assert sum(marker > 30 for marker in late) > 1.3 * sum(marker <= 30 for marker in late)


def test_images_without_numbers_between_them_are_mistaken_more_often():
    assert share(15, text="") > 1.5 * share(15)
    assert chance_of_error(1.0, 60, 60, labelled=False) == 1.0


def test_the_same_request_has_the_same_mistakes_and_another_has_others():
    assert wrong(60) == wrong(60)
    assert wrong(60) != wrong(60, seed=1)
    assert wrong(60)[:5] != wrong(59)[:5]


def test_a_mistake_is_another_image_of_the_request_where_there_is_one():
    views = mistaken(SEEN[:6], CONTENTS[:6], "", 1.0, 0)
    assert {view.line for view in views} <= {image.line for image in SEEN[:6]}
    alike = [Observation(n, "mostly red", ("red", "dark")) for n in (1, 2, 3, 4)]
    found = {
        view.words[0] for seed in range(99) for view in mistaken(alike, CONTENTS[:4], "", 1, seed)
    }
    assert len(found) > 1
    assert found <= set(COLOURS)


def test_a_canary_is_read_all_the_same():
    seen = [*SEEN[:59], only(60, "MAPLE")]
    assert all(mistaken(seen, CONTENTS, "", 1.0, seed)[59].says == "MAPLE" for seed in range(20))


def test_it_is_served_by_its_name_and_in_no_list_of_models():
    assert find_model(TIRED.name, 404) is TIRED
    assert TIRED.name not in MODELS
