"""Random graphs, and damaged ones, in the twin and in TFLite Micro: values compared, differing, refusals by reason.

    python benchmarks/graph_fuzz.py [--graphs 100000] [--seed 0] [--mutants | --edges | --firmware] [--jobs 1]
                                    [--log FILE]

Each graph is drawn from its seed (tests/graphs.py) and judged in a process that is watched: one that crashes, or takes
longer than a minute, is counted and followed by a new one. ``--mutants`` damages each file before it is judged;
``--edges`` puts float and uint8 edges and batches around it, and judges the outputs of the whole file;
``--firmware`` compiles the exported C with sanitizers and compares its output codes with TFLite Micro's. What is done
stands in the log, block by block; the same command goes on from there. Exit code 3: something differs, crashed or hung.
"""

from __future__ import annotations

import argparse
import json
import queue
import random
import select
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests")]
BLOCK = {"graphs": 250, "mutants": 250, "edges": 250, "firmware": 20}
SECONDS, MOST_NAMED = 60.0, 40


def main() -> int:
    """Parse the options; run as the parent, or as one of the watched processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=100_000, metavar="N", help="graphs in all (default 100000)")
    parser.add_argument("--seed", type=int, default=0, help="of the first graph (default 0)")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--mutants", action="store_const", dest="kind", const="mutants", help="damage each file")
    kinds.add_argument("--edges", action="store_const", dest="kind", const="edges", help="judge whole files")
    kinds.add_argument("--firmware", action="store_const", dest="kind", const="firmware", help="judge the exported C")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (default 1)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="default: runs/graph_fuzz_KIND.jsonl")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(kind="graphs")
    args = parser.parse_args()
    if args.serve:
        serve(args.kind)
        return 0
    log = args.log or ROOT / "runs" / f"graph_fuzz_{args.kind}.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    return run(args.kind, range(args.seed, args.seed + args.graphs), args.jobs, log)


def run(kind: str, seeds: range, jobs: int, log: Path) -> int:
    """Judge the blocks of ``seeds`` that ``log`` lacks, then print what stands in it."""
    starts, done = range(seeds.start, seeds.stop, BLOCK[kind]), {row["start"] for row in _rows(log)}
    left: queue.SimpleQueue[range] = queue.SimpleQueue()
    for start in starts:
        if start not in done:
            left.put(range(start, min(start + BLOCK[kind], seeds.stop)))
    lock = threading.Lock()
    with log.open("a", encoding="ascii") as stream:
        threads = [threading.Thread(target=_work, args=(kind, left, stream, lock)) for _ in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    total = added([row for row in _rows(log) if row["start"] in starts])
    print("\n".join(text(kind, total)))
    return 3 if total["wrong"] or total["differing"] else 0


def _rows(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="ascii").splitlines()] if log.exists() else []


def _work(kind: str, left: queue.SimpleQueue[range], stream: TextIO, lock: threading.Lock) -> None:
    judge = Watched(kind)
    while True:
        try:
            seeds = left.get_nowait()
        except queue.Empty:
            judge.stop()
            return
        row = {"start": seeds.start, **added([judge(seed) for seed in seeds])}
        with lock:
            stream.write(json.dumps(row) + "\n")
            stream.flush()


def added(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up verdicts, or blocks of them."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update({f"refused/{reason}": count for reason, count in row.get("refusals", {}).items()})
        counts.update({key: value for key, value in row.items() if isinstance(value, int) and key != "start"})
    found: dict[str, Any] = {key: counts[key] for key in ("graphs", "exact", "values", "differing", "crashes", "hangs")}
    found["refusals"] = {key.removeprefix("refused/"): value for key, value in counts.most_common()
                         if key.startswith("refused/")}
    return {**found, "wrong": [name for row in rows for name in row.get("wrong", [])][:MOST_NAMED]}


def text(kind: str, total: dict[str, Any]) -> list[str]:
    """The figures as lines to read."""
    reasons = [*total["refusals"].items()][:MOST_NAMED]
    return [f"{kind}: {total['graphs']}; exact {total['exact']}; {total['differing']} of {total['values']} differ; "
            f"{total['crashes']} crashes, {total['hangs']} hangs; refused {sum(total['refusals'].values())}",
            *(f"  {count:7d}  {reason}" for reason, count in reasons), *total["wrong"]]


class Watched:
    """A process that judges one seed after the other; its end, or a long silence, is a verdict too."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self, seed: int) -> dict[str, Any]:
        if self.process is None:
            self.process = subprocess.Popen([sys.executable, __file__, "--serve", *([] if self.kind == "graphs" else
                                                                                    [f"--{self.kind}"])],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{seed}\n".encode())
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], SECONDS)
        line = self.process.stdout.readline() if ready else b""
        if line:
            return json.loads(line)
        self.stop()
        what = "crashes" if ready else "hangs"
        return {"graphs": 1, what: 1, "wrong": [f"seed {seed}: {what}"]}

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def serve(kind: str) -> None:
    """Answer seeds on standard input with one line of JSON each."""
    import verdicts

    judge = _JUDGES[kind]
    for line in sys.stdin:
        found = verdicts.Tally()
        for name, verdict in judge(int(line)):
            found.add(name, verdict)
        print(json.dumps(vars(found)), flush=True)


def _graph(seed: int) -> Iterator[tuple[str, Any]]:
    from graphs import make_case
    from verdicts import judge

    case = make_case(seed)
    yield f"seed {seed} ({', '.join(case.operators)})", judge(case.data, case.codes)


def _mutant(seed: int) -> Iterator[tuple[str, Any]]:
    from graphs import make_case
    from hostile import chain, fusion, mutant, pairs
    from verdicts import judge

    base = make_case(seed).data if seed % 4 else (fusion, chain, pairs)[seed // 4 % 3]()
    data = mutant(base, random.Random(seed))
    if data is not None:
        yield f"seed {seed}", judge(data)


def _edges(seed: int) -> Iterator[tuple[str, Any]]:
    from graph_edges import judge_whole
    from graphs import make_case

    case = make_case(seed)
    yield f"seed {seed} ({', '.join(case.operators)})", judge_whole(case, 1 + seed % 3)


def _firmware(seed: int) -> Iterator[tuple[str, Any]]:
    from graphs import make_case
    from verdicts import judge_firmware

    case = make_case(seed)
    with tempfile.TemporaryDirectory(prefix="graph-fuzz-") as work:
        yield f"seed {seed} ({', '.join(case.operators)})", judge_firmware(case.data, case.codes, Path(work))


_JUDGES: dict[str, Callable[[int], Iterator[tuple[str, Any]]]] = {"graphs": _graph, "mutants": _mutant, "edges": _edges,
                                                                  "firmware": _firmware}

if __name__ == "__main__":
    sys.exit(main())
