"""Stands before Elasticsearch and asks for TLS and a password: what its x-pack would do, which Maven does not have.

Arguments: the port to listen on, the port of the server. The files are in the current folder.
"""

import base64
import hmac
import http.client
import http.server
import ssl
import sys

LISTEN, SERVER = int(sys.argv[1]), int(sys.argv[2])
with open("username") as name, open("password") as password:
    PAIR = f"{name.read().strip()}:{password.read().strip()}"
EXPECTED = "Basic " + base64.b64encode(PAIR.encode()).decode()


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not hmac.compare_digest(self.headers.get("Authorization", ""), EXPECTED):
            return self.answer(401, b'{"error":{"reason":"who are you"},"status":401}', "application/json")
        server = http.client.HTTPConnection("127.0.0.1", SERVER, timeout=30)
        headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
        server.request(self.command, self.path, body, headers)
        answer = server.getresponse()
        self.answer(answer.status, answer.read(), answer.getheader("Content-Type", "application/json"))
        server.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

    def answer(self, status, body, content_type):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.crt", "server.key")
proxy = http.server.ThreadingHTTPServer(("127.0.0.1", LISTEN), Proxy)
proxy.socket = context.wrap_socket(proxy.socket, server_side=True)
proxy.serve_forever()
