#!/usr/bin/env python3
"""ready.py PORT: exits with zero when the Kafka broker of that port lists a broker in its metadata."""
import socket
import struct
import sys

# Metadata, API key 3, version 1, no topics: key, version, correlation id, client id, topics.
request = struct.pack(">hhih", 3, 1, 7, 5) + b"ready" + struct.pack(">i", 0)

with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=3) as connection:
    connection.sendall(struct.pack(">i", len(request)) + request)
    with connection.makefile("rb") as answers:
        head = answers.read(12)
if len(head) < 12 or struct.unpack(">ii", head[4:])[1] < 1:
    sys.exit("no broker yet")
