"""What a person is told of inputs that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence

from clients.sources.location import Expansion
from core.errors import InputRefused, WrongUsage
from core.images.inputs import LOCATION_BYTES_MAX
from core.text.printable import printable, printable_name, shortened

SHOWN_CHARACTERS = 400
"""Of a path or URL in a message."""
ROOTS = "OVERSTORY_INPUT_ROOTS"
ARCHIVE = " (an archive: name it to open it)"
"""Behind an entry of a folder that is ignored."""


def shortened_input(text: str) -> str:
    return shortened(printable(text), SHOWN_CHARACTERS)


def outside(text: str) -> InputRefused:
    """The same for what exists and what does not."""
    return InputRefused(
        f"{shortened_input(text)!r} is outside {ROOTS}, the folders that submissions may name"
    )


def no_scheme(shown: str) -> WrongUsage:
    return WrongUsage(
        f"{shown!r} cannot be fetched: URLs begin with http:// or https://, buckets with"
        " s3://, gs:// or az://; give files by path"
    )


def with_images(images: Expansion, what: str) -> Expansion:
    if images.sources:
        return images
    raise without_images(what, images.ignored, images.passed_over)


def without_images(
    what: str, ignored: Sequence[str], passed_over: Sequence[str] = ()
) -> WrongUsage:
    if passed_over:
        return WrongUsage(
            f"{what} has no images beside what is passed over, such as {passed_over[0]!r}: name"
            " that folder itself, or set OVERSTORY_SKIP_FOLDERS=none"
        )
    if what.startswith("the pattern"):
        hint = "list the folder above it" if "://" in what else "try it with ls"
        return WrongUsage(f"{what} matches no images: {hint}")
    if archive := next((name for name in ignored if name.endswith(ARCHIVE)), None):
        name = archive.removesuffix(ARCHIVE)
        return WrongUsage(f"{what} holds no images, but archives such as {name!r}: name those")
    if not ignored:
        return WrongUsage(f"{what} is empty: give a folder with images")
    return WrongUsage(
        f"{what} holds no images among its {len(ignored)} entries:"
        " give another folder, or the files themselves"
    )


def bounded(location: str) -> str:
    """The location. Raises InputRefused if it is too long to be kept and indexed."""
    if len(location.encode("utf-8", "surrogatepass")) > LOCATION_BYTES_MAX:
        raise InputRefused(
            f"{shortened(printable_name(location), 60)!r} is longer than {LOCATION_BYTES_MAX:,}"
            " bytes: give a shorter path or URL"
        )
    return location
