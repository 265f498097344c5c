"""Images are prepared in the size of their model, and one model's are not taken for another's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image as Picture
from sqlalchemy import Row, select

from core.jobs import parse_spec
from core.requests.review import Accepted, LeafImages, Seen
from core.states import ImageStatus, NodeKind
from core.tree.capacity import NOTHING_LEARNED
from models import claims
from models.claims import Lease
from models.state import Moved
from models.tables import Image
from overstory.forecasting import context_of, measure
from tasks.calls.node_request import record
from tests.support import shell
from tests.support.account import Account, on_one_database, prepare_and_upload

OPENAI = "https://api.openai.com/v1"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    Picture.new("RGB", (2_000, 1_500), (200, 40, 40)).save(folder / "1.jpg")
    return folder


def image_of(account: Account, job: str) -> Row:
    with account.services.database.read() as connection:
        return connection.execute(select(Image.__table__).where(Image.job_id == job)).one()


def asked(account: Account, photo: Path, model: str, ask: str, **spec: object) -> tuple[str, Row]:
    """A job of another question, whose images are prepared if they have to be."""
    job = account.submit(photo, ask=ask, model=model, **spec)
    begun = image_of(account, job).status
    prepare_and_upload(account, job)
    return begun, image_of(account, job)


@on_one_database
def test_images_are_sized_and_counted_for_their_model(
    open_account: Callable[..., Account], photo: Path
) -> None:
    account = open_account(start=False, provider="openai", base_url=OPENAI, detail="high")
    begun, image = asked(account, photo, "gpt-4o", "What is there?")
    assert (begun, image.width, image.height, image.tokens) == ("pending", 1_024, 768, 765)
    begun, alike = asked(account, photo, "gpt-4.1", "What else?")  # the same formula
    assert (begun, alike.sha256) == ("prepared", image.sha256)
    begun, other = asked(account, photo, "gpt-5.6", "And what is this?")
    assert (begun, other.width, other.tokens) == ("pending", 1_824, 2_942)
    begun, unknown = asked(account, photo, "nobody-knows", "And that?")
    assert (begun, unknown.width) == ("pending", 1_512)
    begun, _ = asked(account, photo, "nobody-knows-either", "And these?")
    assert begun == "prepared"


@on_one_database
def test_an_estimate_prepares_no_image_again(
    open_account: Callable[..., Account], photo: Path
) -> None:
    account = open_account(start=False, provider="openai", base_url=OPENAI, detail="high")
    settings = account.services.settings

    def new(model: str, ask: str, **options: object) -> tuple[int, int]:
        spec = parse_spec({"images": [str(photo)], "ask": ask, "model": model, **options})
        request = context_of(settings, spec, NOTHING_LEARNED)
        measured = measure(settings, spec, request, request)
        return measured.new.images, measured.work.images

    assert new("gpt-4o", "What is there?") == (1, 1)
    asked(account, photo, "gpt-4o", "What is there?")
    assert new("gpt-4.1", "What else?") == (0, 1)
    assert new("gpt-4.1", "What else?", fresh=True) == (1, 1)
    assert new("gpt-5.6", "What else?") == (1, 1)  # it sees another size


@pytest.mark.parametrize(
    ("model", "source", "tokens"),
    [
        ("gpt-4o", "images counted by OpenAI's formula, as of 2026-08", 765),
        ("nobody-knows", "images counted by StepFun's formula, a guess", 920),
        ("step-3.7-flash", None, 920),
    ],
)
def test_an_estimate_says_by_whose_formula_it_counts(
    home: Path, photo: Path, monkeypatch: pytest.MonkeyPatch, model: str, source: str | None,
    tokens: int,
) -> None:  # fmt: skip
    given = {"MODEL": model, "BASE_URL": OPENAI, "PROVIDER": "openai", "API_KEY": "k"}
    for name, value in (given | {"HOME": str(home)}).items():
        monkeypatch.setenv(f"OVERSTORY_{name}", value)
    words = ["estimate", str(photo), "--ask", "?", "--detail", "high"]
    said = " ".join(shell.say(*words).stdout.split())
    assert ("images counted" in said) == (source is not None)
    assert source is None or source in said
    value = json.loads(shell.say(*words, "--json").stdout)
    assert tokens < value["prompt_tokens"] < tokens + 150
    assert value["image_tokens_source"].startswith("by ")


@on_one_database
@pytest.mark.parametrize(
    ("second_model", "status", "tokens"), [("gpt-5.6", "pending", 231), ("gpt-4.1", "uploaded", 85)]
)
def test_a_second_look_in_other_sizes_is_prepared_anew(
    open_account: Callable[..., Account], photo: Path, second_model: str, status: str, tokens: int
) -> None:
    account = open_account(start=False, provider="openai", base_url=OPENAI, detail="low")
    job = account.submit(
        photo, ask=None, each="Colour?", model="gpt-4o", second_look=1.0, second_model=second_model
    )
    prepare_and_upload(account, job)
    assert image_of(account, job).tokens == 85
    images = LeafImages({1: Seen.ANSWER}, answers={1: "?"}, unclear={1: ()})
    services, lease, moved = account.services, Lease("token", 60.0), Moved()
    with services.database.write() as connection:
        node = claims.next_node(connection, services.account, NodeKind.LEAF)
        assert node is not None
        assert claims.claim_node(connection, node, lease, 100)
        assert record(
            services.settings, connection, node, lease.token, Accepted("", 0, images), moved
        )
    assert image_of(account, job).status == ImageStatus(status)
    prepare_and_upload(account, job)
    assert (image_of(account, job).look, image_of(account, job).tokens) == (2, tokens)
