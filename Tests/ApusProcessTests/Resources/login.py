"""login.py PORT USER PASSWORD TOPIC TEXT: logs in, publishes, and prints what comes."""
import json, socket, struct, sys
port, user, password, topic, text = sys.argv[1:]
peer = socket.create_connection(("127.0.0.1", int(port))).makefile("rwb")
def send(header, content=b""):
    head = json.dumps({**header, "content-length": len(content)}).encode()
    peer.write(struct.pack(">H", len(head)) + head + content)
    peer.flush()
def receive():
    header = json.loads(peer.read(*struct.unpack(">H", peer.read(2))))
    peer.read(header.get("content-length", 0))
    return header
send({"kind": "hello", "user": user, "password": password})
send({"topic": topic}, text.encode())
for _ in range(2):
    header = receive()
    print(header["kind"], header.get("code", header.get("seq", "")))
    if header.get("fatal"): break
