"""A whole Apus client. client.py PORT pub TOPIC CHARSET < text, or client.py PORT sub FILTER COUNT"""
import json, socket, struct, sys
port, command, topic, last = sys.argv[1:]
peer = socket.create_connection(("127.0.0.1", int(port))).makefile("rwb")
def send(header, content=b""):
    head = json.dumps({**header, "content-length": len(content)}).encode()
    peer.write(struct.pack(">H", len(head)) + head + content)
    peer.flush()
def receive(kind):
    header = json.loads(peer.read(*struct.unpack(">H", peer.read(2))))
    content = peer.read(header.get("content-length", 0))
    if header["kind"] == "error": sys.exit(header["message"])
    return (header, content) if header["kind"] == kind else receive(kind)
if command == "pub":
    send({"topic": topic, "content-type": "text/plain", "charset": last}, sys.stdin.buffer.read())
    print(receive("published")[0]["seq"])
else:
    send({"kind": "subscribe", "subscription": 1, "filter": topic, "from": "start"})
    for header, content in (receive("message") for _ in range(int(last))):
        print(header["seq"], header["topic"], content.decode(header["charset"]))
