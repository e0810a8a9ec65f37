"""A proxy on loopback that spoils the answers of an S3 server.

    proxy.py PORT UPSTREAM_PORT FAULT_FILE

The first word of FAULT_FILE, read with each request, is the fault:

    none       nothing
    latency    every request takes 0.15 s longer
    errors     every third request is answered with 500 or 503
    truncate   the body of every third GET ends in its middle, then the connection closes
    slow       the first byte of every fifth answer comes after 2 s
    down       every connection is closed without an answer
    expired    every request is answered as one with an expired token
    lag        lists do not name what was put in the last 3 s
    no-if      a conditional put whose first answer is lost: done, but answered with 500
"""

import http.client
import http.server
import re
import sys
import threading
import time

PORT, UPSTREAM, FAULTS = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
lock = threading.Lock()
count = {"all": 0, "get": 0}
put_at = {}
lost = set()

EXPIRED = (
    b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code>"
    b"<Message>The provided token has expired.</Message></Error>"
)
BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


def fault():
    with open(FAULTS) as file:
        return (file.read().split() or ["none"])[0]


def without_recent(body):
    """A list without the objects that were put in the last three seconds."""
    now = time.monotonic()
    with lock:
        recent = {key for key, at in put_at.items() if now - at < 3}

    def kept(match):
        key = re.search(rb"<Key>(.*?)</Key>", match.group(0)).group(1).decode()
        return b"" if key in recent else match.group(0)

    return re.sub(rb"<Contents>.*?</Contents>", kept, body, flags=re.S)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_request(self):
        kind = fault()
        if kind == "down":
            self.close_connection = True
            self.connection.close()
            return
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        with lock:
            count["all"] += 1
            all_requests = count["all"]
            if self.command == "GET":
                count["get"] += 1
            gets = count["get"]
        if kind == "expired":
            self.answer(400, EXPIRED, [("Content-Type", "application/xml")])
            return
        if kind == "errors" and all_requests % 3 == 0:
            self.answer(500 if all_requests % 2 else 503, BUSY, [("Content-Type", "application/xml")])
            return
        if kind == "latency":
            time.sleep(0.15)
        if kind == "slow" and all_requests % 5 == 0:
            time.sleep(2)
        upstream = http.client.HTTPConnection("127.0.0.1", UPSTREAM, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection",)}
        upstream.request(self.command, self.path, body=body, headers=headers)
        response = upstream.getresponse()
        data = response.read()
        upstream.close()
        key = self.path.split("?")[0].lstrip("/").split("/", 1)[-1]
        if self.command == "PUT" and response.status == 200:
            with lock:
                put_at[key] = time.monotonic()
            conditional = "If-None-Match" in self.headers
            if kind == "no-if" and conditional and key not in lost:
                lost.add(key)
                self.answer(500, BUSY, [("Content-Type", "application/xml")])
                return
        if kind == "lag" and self.command == "GET" and "list-type=2" in self.path:
            data = without_recent(data)
        hop = ("content-length", "connection", "transfer-encoding", "server", "date")
        kept = [(k, v) for k, v in response.getheaders() if k.lower() not in hop]
        if self.command == "HEAD":
            self.send_response(response.status)
            for name, value in kept:
                self.send_header(name, value)
            self.send_header("Content-Length", response.getheader("Content-Length") or "0")
            self.end_headers()
            return
        if kind == "truncate" and self.command == "GET" and gets % 3 == 0 and len(data) > 1:
            self.send_response(response.status)
            for name, value in kept:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.answer(response.status, data, kept)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


Server(("127.0.0.1", PORT), Handler).serve_forever()
