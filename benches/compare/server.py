"""A server of our own on a free port of this machine, asked over HTTP as partners would."""

import http.client
import json
import os
import socket
import subprocess
import time


class Failed(Exception):
    """The server did not do what it was asked."""


class Server:
    def __init__(self, binary, folder, memory):
        self.data = os.path.join(folder, "state")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = open(os.path.join(folder, "server.log"), "wb")
        command = [binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", self.data, "--query-seconds", "3600"]
        self.process = subprocess.Popen(command + (["--memory", memory] if memory else []), stdout=subprocess.DEVNULL, stderr=self.log)
        self.tokens = {}
        for _ in range(600):
            try:
                if self.call("GET", "/readyz")[0] == 200:
                    break
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            raise Failed("the server does not get ready")
        if self.process.poll() is not None:
            raise Failed(f"the server ended at once; see {self.log.name}")
        with open(os.path.join(self.data, "admin.token"), encoding="utf-8") as file:
            self.tokens["admin"] = file.read().strip()

    def call(self, method, path, who=None, body=None, kind="application/json", headers=()):
        """One request on a connection of its own; gives status, headers and the body, read to its end."""
        sent = {"Accept": "application/json", **dict(headers)}
        if who:
            sent["Authorization"] = "Bearer " + self.tokens[who]
        if body is not None:
            sent["Content-Type"] = kind
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request(method, path, body, sent)
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read()
        finally:
            connection.close()

    def done(self, method, path, who, body=None, kind="application/json", headers=()):
        status, _, content = self.call(method, path, who, body, kind, headers)
        if not 200 <= status < 300:
            raise Failed(f"{method} {path}: {status} {content.decode(errors='replace')}")
        return content

    def room(self, name, text, policies):
        """Puts a room and its policies in force, as its operator and owners would."""
        self.done("PUT", f"/v1/rooms/{name}", "admin", text, "application/yaml")
        for partner in ("publisher", "retailer", "analyst"):
            if partner not in self.tokens:
                self.tokens[partner] = json.loads(self.done("POST", f"/v1/partners/{partner}/tokens", "admin"))["token"]
        for table, policy in policies.items():
            self.done("PUT", f"/v1/rooms/{name}/tables/{table}/policy", table.split(".")[0], policy, "application/yaml")

    def upload(self, room, table, path):
        """Puts a table's data; gives the seconds it took."""
        with open(path, "rb") as file:
            begun = time.perf_counter()
            headers = {"Content-Length": str(os.path.getsize(path))}
            self.done("PUT", f"/v1/rooms/{room}/tables/{table}/data", table.split(".")[0], file, "application/vnd.apache.parquet", headers)
            return time.perf_counter() - begun

    def ask(self, room, sql, **more):
        """A question and its answer; gives the seconds from the request to the last byte of the answer, and the answer."""
        body = json.dumps({"sql": sql, **more})
        begun = time.perf_counter()
        status, headers, content = self.call("POST", f"/v1/rooms/{room}/queries", "analyst", body)
        while status == 202:
            status, headers, content = self.call("GET", headers["Location"], "analyst")
        answer = json.loads(content)
        took = time.perf_counter() - begun
        if status != 200:
            raise Failed(f"{sql}\n{json.dumps(answer.get('error', answer), indent=1)}")
        return took, answer

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
