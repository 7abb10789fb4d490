#!/usr/bin/env python3
"""Asks a cleanroom server a question, with nothing but Python's own library.

    export CLEANROOM_SERVER=http://127.0.0.1:7878 CLEANROOM_TOKEN=crs_...
    python3 client.py retail-media queries/01-overlap.sql
"""

import json
import os
import sys
import urllib.error
import urllib.request


def request(method, path, body=None):
    """One request; gives the status, the headers and the JSON object of the reply."""
    headers = {"Authorization": "Bearer " + os.environ["CLEANROOM_TOKEN"], "Accept": "application/json"}
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    url = os.environ.get("CLEANROOM_SERVER", "http://127.0.0.1:7878") + path
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as reply:
            return reply.status, reply.headers, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)


def ask(room, sql):
    """The answer to a question; waits where it takes long. A refusal is an answer too."""
    status, headers, answer = request("POST", f"/v1/rooms/{room}/queries", {"sql": sql})
    while status == 202:
        status, headers, answer = request("GET", headers["Location"])
    return answer


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    room, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        answer = ask(room, file.read())
    if answer.get("outcome") != "released":
        error = answer.get("error", answer)
        print(f"refused[{error.get('code')}]: {error.get('title')}: {error.get('detail')}", file=sys.stderr)
        if error.get("suggestion"):
            print("help:", error["suggestion"], file=sys.stderr)
        sys.exit(3)
    print("\t".join(column["name"] for column in answer["columns"]))
    for row in answer["rows"]:
        print("\t".join("" if value is None else str(value) for value in row))
    for note in answer["notes"]:
        print("note:", note, file=sys.stderr)


if __name__ == "__main__":
    main()
