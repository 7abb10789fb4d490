"""DuckDB in a process of its own, so that its memory can be told from ours: one JSON object a line in, one out.

Times are taken in here, around the statement and the fetching of its rows: nothing of the pipe is in them."""

import json
import sys
import time

import duckdb


def main():
    connection = duckdb.connect(config={"threads": int(sys.argv[1])})
    for line in sys.stdin:
        order = json.loads(line)
        begun = time.perf_counter()
        rows = connection.execute(order["sql"]).fetchall()
        took = time.perf_counter() - begun
        print(json.dumps({"took": took, "rows": rows if order["rows"] else len(rows)}), flush=True)


main()
