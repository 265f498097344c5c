"""Rows about killed, stopped and frozen processes."""

from __future__ import annotations

from benchmarks.gauntlet.scene import Plan, Scene, row


@row("1", "no fault")
def none(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(400, 120))
    stage.finish(90)
    stage.judge()


@row("2", "kill -9 of a calling worker every 2 to 4 s", Plan(infer_processes=2))
def calling_workers(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(600, 160))
    kills = stage.bench.scaled(10, 3)
    stage.until_calls(4)
    for _ in range(kills):
        stage.kill(stage.random.choice(stage.fleet.named("infer")))
        if stage.pace(stage.random.uniform(2.0, 4.0)):
            break
    stage.finish(90)
    stage.judge()
