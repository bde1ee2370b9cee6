#!/usr/bin/env python3
"""ready.py PORT: exits with zero when the Cassandra node of that port takes a connection of CQL protocol 4 and
asks for a password."""
import socket
import struct
import sys

STARTUP, AUTHENTICATE = 1, 3
options = struct.pack(">H", 1) + b"".join(struct.pack(">H", len(s)) + s for s in (b"CQL_VERSION", b"3.0.0"))

with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=3) as connection:
    connection.sendall(struct.pack(">BBhBi", 4, 0, 1, STARTUP, len(options)) + options)
    with connection.makefile("rb") as answers:
        head = answers.read(9)
if len(head) < 9 or head[4] != AUTHENTICATE:
    sys.exit("not ready")
