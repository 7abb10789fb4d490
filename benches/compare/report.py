"""The table, the report and the picture."""

import statistics
from xml.sax.saxutils import escape


def spread(values, unit=1e3, digits=0):
    """Median and range, in milliseconds."""
    return f"{statistics.median(values) * unit:,.{digits}f} ({min(values) * unit:,.{digits}f}..{max(values) * unit:,.{digits}f})".replace(",", " ")


def ratio(of, to):
    """Of the medians, and the range over runs that followed each other."""
    pairs = [left / right for left, right in zip(of, to)]
    return f"{statistics.median(of) / statistics.median(to):.2f} ({min(pairs):.2f}..{max(pairs):.2f})"


def mean(values):
    """In milliseconds. What was computed is counted in hundredths of a second, so that one run alone says little."""
    return f"{statistics.mean(values) * 1e3:,.0f}".replace(",", " ") if values else "unknown"


def mean_ratio(of, to):
    return f"{sum(of) / sum(to):.2f}" if of and sum(to) else "unknown"


def mebibytes(size):
    return "unknown" if size is None else f"{size >> 20:,}".replace(",", " ")


def table(head, rows):
    lines = [f"| {' | '.join(head)} |", "|" + "---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def markdown(result):
    sizes = result["sizes"]
    out = [
        f"# Beside DuckDB at scale {result['scale']:g}",
        f"{result['date']}, {result['machine']}. {result['cleanroom']}, DuckDB {result['duckdb']} with {result['threads']} threads. "
        f"{number(sizes['impressions'])} impressions of {number(sizes['audience'])} people, {number(sizes['purchases'])} purchases of "
        f"{number(sizes['customers'])}, {number(sizes['common'])} of them in both. {result['runs']} runs of each, the two engines by turns.",
        "DuckDB has its tables in memory, with identifiers as texts of 64 characters; its times are those of the statement and of "
        "fetching its rows, in its own process. Cleanroom's are those of a request over HTTP on the same machine, from sending "
        "`POST /queries` to the last byte of the answer: check, reservation, execution, release, log entry, signature and receipt.",
        "## Questions",
        "Milliseconds: median (least..most). The ratio is that of the medians, cleanroom to DuckDB; below 1 cleanroom is faster. In "
        "brackets is the range of the ratio over the runs. CPU is what all threads computed, on the mean of the runs; on a machine that "
        "does other work at the same time it says more than the time that passed.",
        table(
            ["question", "groups", "DuckDB", "cleanroom", "ratio", "DuckDB, CPU", "cleanroom, CPU", "ratio of CPU"],
            [[entry["title"], str(entry["groups"]), spread(entry["plain"]), spread(entry["asked"]), ratio(entry["asked"], entry["plain"]),
              mean(entry["cpu_plain"]), mean(entry["cpu_asked"]), mean_ratio(entry["cpu_asked"], entry["cpu_plain"])]
             for entry in result["questions"]],
        ),
        "All answers without noise are the same in both, number by number" + hidden(result) + "; those with noise agree as far as chance lets them.",
        "\n".join(f"- {entry['title']}: {entry['remark']}" for entry in result["questions"] if entry["remark"]),
        "- Under noise every run is paid for and executed: it spends a millionth of epsilon less than the one before. The same question "
        "again would be the same numbers, at no cost and hardly any time.",
        "## What privacy adds",
        "A dry run is a whole request that checks, prices and records a question and reads no row. Floors of the same question are those "
        "of a room without noise. Milliseconds.",
        table(
            ["question", "dry run", "its CPU", "share of the answer", "with floors", "with noise", "noise to floors", "of CPU"],
            [[entry["title"], spread(entry["dry"], digits=1), mean(entry["cpu_dry"]), f"{statistics.median(entry['dry']) / statistics.median(entry['asked']):.1%}"]
             + ([spread(entry["floors"]), spread(entry["asked"]), ratio(entry["asked"], entry["floors"]),
                mean_ratio(entry["cpu_asked"], entry["cpu_floors"])] if entry["floors"] else [""] * 4)
             for entry in result["questions"]],
        ),
        "## Taking data in",
        "Seconds: cleanroom takes the Parquet file over HTTP, replaces identifiers, checks every value, sorts by person, writes and records "
        "it. DuckDB writes the same Parquet file as Parquet (`COPY`), and reads it into memory (`CREATE TABLE`). The ratio is to `COPY`.",
        table(
            ["table", "MB", "DuckDB COPY", "DuckDB CREATE TABLE", "cleanroom", "ratio"],
            [[entry["table"], f"{entry['bytes'] / 1e6:.0f}", spread(entry["copy"], 1, 1), spread(entry["create"], 1, 1), spread(entry["upload"], 1, 1),
              ratio(entry["upload"], entry["copy"])] for entry in result["ingestion"]],
        ),
        "## Memory",
        "Most that was resident (`VmHWM`), MiB. DuckDB's process holds its tables; cleanroom reads its own from files, and those are in the "
        "system's cache, which is not counted. Cleanroom's queries and ingestion were limited to " + result["limit"] + ".",
        table(
            ["stage", "DuckDB", "cleanroom"],
            [["taking data in", mebibytes(result["memory"]["plain"]), mebibytes(result["memory"]["asked"])]]
            + [[entry["title"], mebibytes(entry["memory"]["plain"]), mebibytes(entry["memory"]["asked"])] for entry in result["questions"]],
        ),
        "## Targets",
        table(["target", "reached", "of CPU", "met"], targets(result)),
    ]
    return "\n\n".join(part for part in out if part) + "\n"


def number(count):
    return f"{count:,}".replace(",", " ")


def hidden(result):
    taken = [f"{entry['left_out']} groups of \"{entry['title']}\"" for entry in result["questions"] if entry["left_out"]]
    return f" (but for {', '.join(taken)}, which the second owner's floor leaves out)" if taken else ""


# How much faster than DuckDB a question is meant to be, by the beginning of its title.
FASTER = {
    "overlap": 50,
    "reach and frequency": 5,
    "attribution, each order once, bounded": 5,
    "attribution": 4,
    "exposed, converters": 8,
    "reach by campaign and device, bounded": 25,
}


def targets(result):
    rows = []
    for entry in result["questions"]:
        faster = next((times for title, times in FASTER.items() if entry["title"].startswith(title)), None)
        if faster and entry["plain"]:
            reached = statistics.median(entry["plain"]) / statistics.median(entry["asked"])
            computed = mean_ratio(entry["cpu_plain"], entry["cpu_asked"])
            met = "yes" if reached >= faster else "no"
            rows.append([f"{faster} times as fast as DuckDB: {entry['title']}", f"{reached:.2f}", computed, met])
    for name, against, most in (("noise at most 1.5 times floors", "floors", 1.5),):
        for entry in result["questions"]:
            if entry[against]:
                reached = statistics.median(entry["asked"]) / statistics.median(entry[against])
                computed = mean_ratio(entry["cpu_asked"], entry["cpu_" + against])
                rows.append([f"{name}: {entry['title']}", f"{reached:.2f}", computed, "yes" if reached <= most else "no"])
    return rows


def growth(results):
    """Times and memory by the size of the data."""
    results = sorted(results, key=lambda result: result["scale"])
    sizes = [f"{number(result['sizes']['impressions'])} impressions" for result in results]

    def lines(kind, cell):
        """A row for each thing that was measured at any of the sizes."""
        name = "title" if kind == "questions" else "table"
        measured = [{entry[name]: entry for entry in result[kind]} for result in results]
        names = dict.fromkeys(title for entries in measured for title in entries)
        return [[title] + [cell(entries[title]) if title in entries else "" for entries in measured] for title in names]

    return "\n\n".join([
        "Cleanroom's milliseconds, median, and in brackets the ratio to DuckDB's:",
        table(["question", *sizes], lines("questions", lambda entry: f"{mean([statistics.median(entry['asked'])])} "
              f"({statistics.median(entry['asked']) / statistics.median(entry['plain']):.2f})")),
        "What its threads computed, milliseconds, and the ratio to DuckDB's:",
        table(["question", *sizes], lines("questions", lambda entry: f"{mean(entry['cpu_asked'])} "
              f"({mean_ratio(entry['cpu_asked'], entry['cpu_plain'])})")),
        "Taking data in, seconds for each table, and the ratio to DuckDB's `COPY`:",
        table(["table", *sizes], lines("ingestion", lambda entry: f"{statistics.median(entry['upload']):.1f} "
              f"({statistics.median(entry['upload']) / statistics.median(entry['copy']):.2f})")),
        "Most that was resident, MiB, and DuckDB's:",
        table(["stage", *sizes],
              [["taking data in"] + [f"{mebibytes(result['memory']['asked'])} ({mebibytes(result['memory']['plain'])})" for result in results]]
              + lines("questions", lambda entry: f"{mebibytes(entry['memory']['asked'])} ({mebibytes(entry['memory']['plain'])})")),
    ]) + "\n"


STYLE = """
.name, .value { font: 13px system-ui, sans-serif; fill: #24292f } .value { font-size: 12px }
.title { font: 600 15px system-ui, sans-serif; fill: #24292f }
.plain { fill: #9a6700 } .asked { fill: #0969da } .range { stroke: #57606a; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  .name, .value, .title { fill: #e6edf3 } .plain { fill: #d29922 } .asked { fill: #58a6ff } .range { stroke: #afb8c1 }
}"""


def picture(result):
    """Two bars for each question, least to most as a line on them. No background: it is read on light and on dark."""
    bar, step, left, width, top = 14, 52, 365, 430, 62
    most = max(max(entry["plain"] + entry["asked"]) for entry in result["questions"])
    height = top + step * len(result["questions"]) + 8
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 90} {height}" role="img" '
        f'aria-label="Times of questions, DuckDB and cleanroom, at scale {result["scale"]:g}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="8" y="22">Milliseconds, median of {result["runs"]} runs (line: least to most), scale {result["scale"]:g}</text>',
        '<rect class="plain" x="8" y="34" width="12" height="12"/><text class="name" x="26" y="45">DuckDB, no privacy</text>',
        '<rect class="asked" x="178" y="34" width="12" height="12"/><text class="name" x="196" y="45">cleanroom, end to end</text>',
    ]
    for at, entry in enumerate(result["questions"]):
        y = top + at * step
        out.append(f'<text class="name" x="8" y="{y + bar + 5}">{escape(entry["title"])}</text>')
        for kind, offset in (("plain", 0), ("asked", bar + 3)):
            low, middle, high = (of(entry[kind]) / most * width for of in (min, statistics.median, max))
            line = y + offset + bar / 2
            out.append(f'<rect class="{kind}" x="{left}" y="{y + offset}" width="{middle:.1f}" height="{bar}"/>')
            out.append(f'<path class="range" d="M{left + low:.1f} {line}H{left + high:.1f}"/>')
            out.append(f'<text class="value" x="{left + high + 6:.1f}" y="{line + 4}">{number(round(statistics.median(entry[kind]) * 1e3))}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"
