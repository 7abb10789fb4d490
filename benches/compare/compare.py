#!/usr/bin/env python3
"""Asks DuckDB and a cleanroom server the same questions over the same data, by turns, and compares answers and times.

    python3 benches/compare/compare.py                    10 million impressions, 3 million purchases
    python3 benches/compare/compare.py --scale 0.1        a tenth of it
    python3 benches/compare/compare.py --growth           one table of all scales that were measured

Where DuckDB is not installed, it is, once and in the version of requirements.txt, into target/compare/venv. Without
--binary the program is built first. Prints the report, and writes report.md, report.svg and scale-N.json to target/compare.
An answer that is not the same in both ends it. Compare figures of one machine and one run only.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "target" / "compare"
TABLES = {"impressions": "publisher.impressions", "purchases": "retailer.purchases"}


def with_duckdb():
    """Goes on in an environment that has DuckDB."""
    try:
        import duckdb  # noqa: F401
    except ImportError:
        python = OUT / "venv" / "bin" / "python"
        if pathlib.Path(sys.prefix) == OUT / "venv":
            sys.exit(f"DuckDB cannot be imported in {sys.prefix}: remove that folder and try again")
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(OUT / "venv")], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(HERE / "requirements.txt")], check=True)
        os.execv(python, [str(python), str(HERE / "compare.py"), *sys.argv[1:]])


def built():
    """The program of this repository, built for release."""
    command = ["cargo", "build", "--release", "--bin", "cleanroom", "--message-format", "json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found = [json.loads(line).get("executable") for line in done.stdout.splitlines() if line.startswith("{")]
    return [path for path in found if path][-1]


def forget_peak(pid):
    """Sets VmHWM back to what is resident now. Where that is not possible, it stays the most of all time."""
    try:
        with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass


def peak(pid):
    """The most that was resident, in bytes; nothing where the system does not tell."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None


def processor(pid):
    """Seconds that a process's threads have computed so far; nothing where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


class Clock:
    """Seconds of runs, and of what they computed: the latter say something on a busy machine, too."""

    def __init__(self, pid):
        self.pid, self.took, self.computed = pid, [], []

    def run(self, what):
        """Runs it; what it gives begins with its seconds, and is given on."""
        before = processor(self.pid)
        out = what()
        after = processor(self.pid)
        self.took.append(out[0])
        if before is not None and after is not None:
            self.computed.append(after - before)
        return out


class Plain:
    """DuckDB, in a process of its own."""

    def __init__(self, threads):
        self.process = subprocess.Popen([sys.executable, str(HERE / "engine.py"), str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, sql, rows=False):
        """Gives the seconds, and the rows or their number."""
        self.process.stdin.write(json.dumps({"sql": sql, "rows": rows}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("DuckDB ended; what it said is above")
        answer = json.loads(line)
        return answer["took"], answer["rows"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def say(text):
    print(text, file=sys.stderr, flush=True)


def ingestion(plain, server, files, folder):
    """Each table into each room; DuckDB in between."""
    text = {file.stem: file.read_text(encoding="utf-8") for file in (HERE / "room").glob("*.yaml")}
    stages = {name: {"table": name, "bytes": os.path.getsize(path), "copy": [], "create": [], "upload": []} for name, path in files.items()}
    for room in ("floors", "noise"):
        policies = {table: text[name] + (text["noise"] if room == "noise" else "") for name, table in TABLES.items()}
        server.room(room, text["room"].replace("ROOM", room), policies)
        for name, path in files.items():
            say(f"taking {name} into the room with {room}")
            copy = os.path.join(folder, "copy.parquet")
            options = "FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 250000"
            stages[name]["copy"].append(plain.run(f"COPY (SELECT * FROM read_parquet('{path}')) TO '{copy}' ({options})")[0])
            os.remove(copy)
            plain.run(f"DROP TABLE IF EXISTS {name}")
            stages[name]["create"].append(plain.run(f"CREATE TABLE {name} AS SELECT * FROM read_parquet('{path}')")[0])
            stages[name]["upload"].append(server.upload(room, TABLES[name], path))
    return list(stages.values())


def measure(plain, server, question, runs, spent):
    """One question, by turns; a first run of each is not counted, and its answers are compared."""
    from questions import compare

    say(question.title)
    theirs = question.plain.format(i="impressions", p="purchases")
    ours = question.asked.format(i=TABLES["impressions"], p=TABLES["purchases"])
    room = "noise" if question.noise else "floors"

    def fresh():
        """Under noise, a little less epsilon: another question, which is paid for and executed."""
        if not question.noise:
            return {}
        spent.append(None)
        return {"epsilon": round(1 - len(spent) * 1e-6, 6)}

    clocks = {"plain": Clock(plain.process.pid), "asked": Clock(server.process.pid)}
    floors, dry = Clock(server.process.pid), Clock(server.process.pid)
    entry = {"name": question.name, "title": question.title, "remark": question.remark}
    _, rows = plain.run(theirs, rows=True)
    _, answer = server.ask(room, ours, **fresh())
    entry["groups"], entry["left_out"] = compare(question, rows, answer)
    if question.noise:
        server.ask("floors", ours)
    for clock in clocks.values():
        forget_peak(clock.pid)
    for _ in range(runs):
        clocks["plain"].run(lambda: plain.run(theirs))
        _, answer = clocks["asked"].run(lambda: server.ask(room, ours, **fresh()))
        if question.noise and not all(cost["epsilon"] for cost in answer["cost"]):
            sys.exit(f"{question.title}: an answer was an earlier one")
        if question.noise:
            floors.run(lambda: server.ask("floors", ours))
    entry["memory"] = {name: peak(clock.pid) for name, clock in clocks.items()}
    for _ in range(runs):
        dry.run(lambda: server.ask(room, ours, dry_run=True))
    for name, clock in (*clocks.items(), ("floors", floors), ("dry", dry)):
        entry[name], entry["cpu_" + name] = clock.took, clock.computed
    say("    " + ", ".join(f"{name} {sorted(round(took * 1e3) for took in clock.took)} ms, CPU {round(sum(clock.computed) / runs * 1e3)}" for name, clock in clocks.items()))
    return entry


def machine():
    try:
        memory = f", {round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30)} GiB of memory"
    except (ValueError, OSError):
        memory = ""
    return f"{os.cpu_count()} cores ({platform.machine()}){memory}"


def compared(args):
    import data
    import duckdb
    from questions import QUESTIONS
    from server import Server

    binary = args.binary or built()
    threads = os.cpu_count() or 2
    with tempfile.TemporaryDirectory(prefix="cleanroom-compare-", dir=args.folder) as folder:
        say("generating")
        with duckdb.connect(config={"threads": threads}) as connection:
            files, sizes = data.generate(connection, folder, args.scale)
        plain = Plain(threads)
        server = Server(binary, folder, args.memory)
        try:
            stages = ingestion(plain, server, files, folder)
            memory = {"plain": peak(plain.process.pid), "asked": peak(server.process.pid)}
            spent = []
            entries = [measure(plain, server, question, args.runs, spent) for question in QUESTIONS]
        finally:
            plain.stop()
            server.stop()
    version = subprocess.run([binary, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return {
        "scale": args.scale, "runs": args.runs, "date": datetime.date.today().isoformat(), "machine": machine(),
        "cleanroom": version, "duckdb": duckdb.__version__, "threads": threads, "limit": args.memory or "2GiB",
        "sizes": vars(sizes), "ingestion": stages, "memory": memory, "questions": entries,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the data; 1 is 10 million impressions")
    parser.add_argument("--runs", type=int, default=5, help="runs of each question and engine")
    parser.add_argument("--binary", help="the program, where it is built already")
    parser.add_argument("--memory", help="limit of the server's memory, as of `cleanroom serve --memory`")
    parser.add_argument("--folder", help="where the data is put while this runs (some 3 GB at scale 1)")
    parser.add_argument("--growth", action="store_true", help="measures nothing; prints what was measured at all scales")
    args = parser.parse_args()
    if not args.growth and not (0.001 <= args.scale <= 10 and args.runs >= 1):
        parser.error("--scale is from 0.001 to 10, --runs at least 1")
    OUT.mkdir(parents=True, exist_ok=True)

    import report

    if args.growth:
        results = [json.loads(path.read_text(encoding="utf-8")) for path in OUT.glob("scale-*.json")]
        if not results:
            parser.error(f"nothing was measured yet: there is no scale-N.json in {OUT}")
        print(report.growth(results), end="")
        return
    with_duckdb()
    result = compared(args)
    (OUT / f"scale-{args.scale:g}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = report.markdown(result)
    (OUT / "report.md").write_text(text, encoding="utf-8")
    (OUT / "report.svg").write_text(report.picture(result), encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
