"""Images per second and core: ours, plain Pillow, libvips, and only decode and encode.

    python -m benchmarks.preprocess [--seconds 6] [--detail low] [--format jpeg]

Each contender runs in its own process on one core, on the same files. Rounds alternate, so that
other load affects all of them. CPU time counts. SSIM (of luma, at the sent size) compares with a
full decode and one LANCZOS pass in floats. Peak memory is a process's growth after its imports.
Exit status 1 if a target of issue 3 is missed (checked for JPEG at low detail only).
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clients.images.prepare import prepare
from core.catalog.formulas import STEPFUN_SIZES
from core.catalog.tokens import Detail
from core.images.sizing import ImageLimits

LANCZOS = Image.Resampling.LANCZOS
WIDTH, HEIGHT = 4000, 3000
ROUNDS = 5
Contender = Callable[[Path, Detail], bytes]
Array = np.ndarray[Any, np.dtype[Any]]


# --- contenders


def ours(path: Path, detail: Detail) -> bytes:
    return prepare(path, detail=detail, limits=ImageLimits()).data


def ours_vips(path: Path, detail: Detail) -> bytes:
    return prepare(path, detail=detail, limits=ImageLimits(), accelerator="vips").data


def plain(path: Path, detail: Detail) -> bytes:
    with Image.open(path) as image:
        size = STEPFUN_SIZES.of(*image.size, detail)
        return _jpeg(image.convert("RGB").resize(size, LANCZOS))


def thumbnail(path: Path, detail: Detail) -> bytes:
    with Image.open(path) as image:
        image.thumbnail(STEPFUN_SIZES.of(*image.size, detail))
        return _jpeg(image)


def bare(path: Path, detail: Detail) -> bytes:
    """Only the scaled decode (1000 x 750 of 4000 x 3000 at low detail) and the encode."""
    with Image.open(path) as image:
        image.draft(None, STEPFUN_SIZES.of(*image.size, detail))
        return _jpeg(image)


def vips(path: Path, detail: Detail) -> bytes:
    import pyvips

    pyvips.cache_set_max(0)  # without it, reading a file again costs nothing
    header = pyvips.Image.new_from_file(str(path))
    width, height = STEPFUN_SIZES.of(header.width, header.height, detail)
    image = pyvips.Image.thumbnail(str(path), width, height=height)
    return bytes(image.jpegsave_buffer(Q=80, keep="none"))


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


CONTENDERS: dict[str, Contender] = {
    "ours": ours,
    "ours, vips": ours_vips,
    "(a) plain Pillow": plain,
    "Pillow thumbnail": thumbnail,
    "(b) pyvips thumbnail": vips,
    "bare decode + encode": bare,
}


# --- the picture


def picture(seed: int, grain: float = 2.0) -> Image.Image:
    """12 megapixels with detail at every scale, edges, small text and sensor noise."""
    rng = np.random.default_rng(seed)
    luma = sum(_octave(rng, 2**power) * 2 ** (power * 0.8) for power in range(9))
    hue = [sum(_octave(rng, 2**power) * 2**power for power in (5, 7, 9)) for _ in range(3)]
    rgb = np.stack([luma * 40 / np.std(luma) + tint * 12 / np.std(tint) for tint in hue], -1) + 128
    image = Image.fromarray(rgb.clip(0, 255).astype(np.uint8))
    _print_on(image, rng)
    noisy = np.asarray(image, np.float32) + rng.standard_normal((HEIGHT, WIDTH, 1)) * grain
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _octave(rng: np.random.Generator, size: int) -> Array:
    grid = rng.standard_normal((HEIGHT // size + 2, WIDTH // size + 2)).astype(np.float32)
    scaled = Image.fromarray(grid).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return np.asarray(scaled)


def _print_on(image: Image.Image, rng: np.random.Generator) -> None:
    draw = ImageDraw.Draw(image)
    for number in range(120):
        x, y = int(rng.integers(0, WIDTH - 400)), int(rng.integers(0, HEIGHT - 100))
        shade = int(rng.integers(20, 230))
        if number % 3:
            font = ImageFont.load_default(int(rng.choice((36, 60, 90))))
            draw.text((x, y), "Total 1,234.50", font=font, fill=(shade, shade, shade // 2))
        else:
            draw.rectangle((x, y, x + shade, y + 60), fill=(shade, 120, 255 - shade))


def write(folder: Path, kind: str, count: int, grain: float) -> list[Path]:
    options: dict[str, Any] = {"jpeg": {"quality": 90}, "png": {"compress_level": 4}}.get(kind, {})
    paths = [folder / f"{number}.{kind}" for number in range(count)]
    for number, path in enumerate(paths):
        picture(number, grain).save(path, **options)
    return paths


# --- measuring


def serve(name: str, paths: list[Path], detail: Detail, pipe: Connection) -> None:
    """In the child: for each number of seconds received, send images done, CPU seconds, peak MB."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    contender, before = CONTENDERS[name], _peak_mb()
    contender(paths[0], detail)
    first = _peak_mb() - before
    while (seconds := pipe.recv()) is not None:
        started, done = time.process_time(), 0
        while time.process_time() - started < seconds:
            contender(paths[done % len(paths)], detail)
            done += 1
        pipe.send((done, time.process_time() - started, max(first, _peak_mb() - before)))


def _peak_mb() -> float:
    """Peak of this program alone: ru_maxrss starts with the parent's memory at the fork."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = status.read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def measure(
    names: list[str], paths: list[Path], detail: Detail, seconds: float
) -> dict[str, tuple[float, float]]:
    """name -> (median CPU milliseconds per image, peak MB above its imports)."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name in names:
        pipes[name], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(name, paths, detail, theirs)))
        processes[-1].start()
    times: dict[str, list[float]] = {name: [] for name in names}
    peaks = dict.fromkeys(names, 0.0)
    for _ in range(ROUNDS):
        for name in names:
            pipes[name].send(seconds / ROUNDS)
            done, cpu, peak = pipes[name].recv()
            times[name].append(1000 * cpu / done)
            peaks[name] = max(peaks[name], peak)
    for name, process in zip(names, processes, strict=True):
        pipes[name].send(None)
        process.join()
    return {name: (statistics.median(times[name]), peaks[name]) for name in names}


# --- fidelity


def fidelity(name: str, path: Path, detail: Detail) -> float:
    """SSIM of luma against the float reference."""
    with Image.open(io.BytesIO(CONTENDERS[name](path, detail))) as out:
        return ssim(_luma(np.asarray(out.convert("RGB"), np.float64)), _reference(path, out.size))


def _reference(path: Path, size: tuple[int, int]) -> Array:
    with Image.open(path) as image:
        bands = [Image.fromarray(np.asarray(b, np.float32)) for b in image.convert("RGB").split()]
    full = np.stack([np.asarray(b.resize(size, LANCZOS), np.float64) for b in bands], -1)
    return _luma(full.clip(0, 255))


def _luma(rgb: Array) -> Array:
    return np.asarray(rgb @ np.array([0.299, 0.587, 0.114]))


def ssim(a: Array, b: Array) -> float:
    """Mean structural similarity (Wang et al. 2004): Gaussian window, sigma 1.5, values 0..255."""
    ma, mb = _blur(a), _blur(b)
    va, vb, vab = _blur(a * a) - ma**2, _blur(b * b) - mb**2, _blur(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * ma * mb + c1) * (2 * vab + c2)
    return float((top / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())


def _blur(values: Array) -> Array:
    window = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window /= window.sum()
    for axis in (0, 1):
        values = np.apply_along_axis(np.convolve, axis, values, window, "valid")
    return values


# --- the table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="CPU seconds per contender")
    parser.add_argument("--detail", choices=("low", "high"), default="low")
    parser.add_argument("--format", choices=("jpeg", "png", "webp"), default="jpeg")
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--grain", type=float, default=2.0, help="sensor noise: heavier files")
    args = parser.parse_args()
    names = [name for name in CONTENDERS if args.format == "jpeg" or name != "bare decode + encode"]
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder), args.format, args.images, args.grain)
        sizes = ", ".join(f"{path.stat().st_size / 1e6:.1f}" for path in paths)
        print(f"{len(paths)} x {WIDTH} x {HEIGHT} {args.format} ({sizes} MB), detail {args.detail}")
        measured = measure(names, paths, args.detail, args.seconds)
        likeness = {name: min(fidelity(name, p, args.detail) for p in paths[:2]) for name in names}
    show(measured, likeness)
    return verdict(measured, likeness) if (args.format, args.detail) == ("jpeg", "low") else 0


def show(measured: dict[str, tuple[float, float]], likeness: dict[str, float]) -> None:
    slow = measured["(a) plain Pillow"][0]
    print(f"{'':22}{'images/s':>10}{'ms CPU':>9}{'x (a)':>8}{'peak MB':>9}{'SSIM':>9}")
    for name, (ms, peak) in measured.items():
        row = f"{name:22}{1000 / ms:10.1f}{ms:9.1f}{slow / ms:8.2f}{peak:9.0f}"
        print(f"{row}{likeness[name]:9.4f}")


def verdict(measured: dict[str, tuple[float, float]], likeness: dict[str, float]) -> int:
    mine, slow, floor = (
        measured[name][0] for name in ("ours", "(a) plain Pillow", "bare decode + encode")
    )
    loss = likeness["(a) plain Pillow"] - likeness["ours"]
    held = {
        f"{slow / mine:.2f} x (a), at least 5": slow / mine >= 5,
        f"{mine / floor:.2f} x bare, at most 1.25": mine / floor <= 1.25,
        f"SSIM {loss:+.4f} below (a), at most 0.01": loss <= 0.01,
    }
    for target, met in held.items():
        print(("met     " if met else "MISSED  ") + target)
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
