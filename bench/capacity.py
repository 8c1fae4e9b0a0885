"""How many talkers a server carries without a stall, and what a frame costs; beside it a naive server.

    python -m bench.capacity --speed 4 --steps 100,200,300,400
    VISAVIS_REDIS_URL=redis://localhost AUTH_SECRET_KEY=... python -m bench.capacity --workers 2
    python -m bench.capacity --naive

The server is a process of its own; the talkers are this one and only count (`visavis.capacity`). Each hears
replies of 14 s one after another, from an agent whose voice comes without phonemes, through the face net.
Server CPU is the time of all its threads over the frames that arrived, and so hardly depends on what else
the machine does; stalls, leads and times to the first frame do: take them on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from visavis.capacity.measure import HEAD, Step, climb, environment, idle_memory
from visavis.capacity.process import Server, served, server
from visavis.capacity.talkers import run

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--speed", type=float, default=4.0, help="of the agent's speech, times real time")
    parser.add_argument("--steps", default="100,200,300,400,500", help="numbers of talkers")
    parser.add_argument("--seconds", type=float, default=17.0, help="at each step")
    parser.add_argument("--engine", default="net", help="face engine")
    parser.add_argument("--workers", type=int, default=1, help="of the server; they need a Redis")
    parser.add_argument("--naive", action="store_true", help="measure the naive server instead")
    parser.add_argument("--on", action="store_true", help="go on after a step with stalls")
    parser.add_argument("--idle", action="store_true", help="measure the memory of idle conversations only")
    options = parser.parse_args()
    steps = [int(step) for step in options.steps.split(",")]
    settings = environment(options.speed, options.engine)
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg())
    print(f"{os.cpu_count()} cores, load average before {load}, agent at {options.speed:g}x", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if options.naive:
            settings["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
            with served(
                lambda port: (sys.executable, "-m", "bench.naive", str(port), str(options.speed)),
                settings,
                Path(folder),
            ) as theirs:
                _climb(theirs, steps, options.seconds, on=options.on)
            return
        if options.workers == 1:
            with server("scripted", settings, Path(folder)) as ours:
                print(f"memory of an idle conversation: {run(idle_memory(ours)):.0f} kB", flush=True)
        if not options.idle:
            with server("scripted", settings, Path(folder), options.workers) as ours:
                _climb(ours, steps, options.seconds, on=options.on)


def _climb(ours: Server, steps: list[int], seconds: float, *, on: bool) -> None:
    print(f"\n{HEAD}", flush=True)

    def told(step: Step) -> None:
        print(step.line(), flush=True)

    done = run(climb(ours, steps, seconds, told, on=on))
    good = [step.talkers for step in done if step.good]
    print(f"\nwithout a stall: {max(good, default=0)} talkers", flush=True)


if __name__ == "__main__":
    main()
