"""Servers on this machine from which tests download."""

import contextlib
import datetime
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

REPLIES = {
    "USER": "331 password?",
    "PASS": "230 in",
    "PWD": '257 "/"',
}


class Ftp(socketserver.StreamRequestHandler):
    """As much of RFC 959 as one anonymous RETR needs."""

    root = Path()

    def handle(self) -> None:
        """Answer commands until QUIT."""
        self.say("220 here")
        for line in iter(self.rfile.readline, b""):
            word, _blank, rest = line.decode().strip().partition(" ")
            if word == "QUIT":
                return self.say("221 bye")
            if word in ("PASV", "EPSV"):
                self.listen(word)
            elif word == "CWD":
                there = (self.root / rest.lstrip("/")).is_dir()
                self.say("250 there" if there else "550 no such directory")
            elif word == "RETR":
                self.send(self.root / rest.lstrip("/"))
            elif word == "LIST":
                self.transfer(b"-rw-r--r-- 1 me me 1 Jan 1 1970 base.img\r\n")
                self.say("226 done")
            elif word in ("SIZE", "MDTM"):
                self.facts(word, self.root / rest.lstrip("/"))
            else:
                self.say(REPLIES.get(word, "200 fine"))
        return None

    def say(self, text: str) -> None:
        """Send one reply."""
        self.wfile.write(text.encode() + b"\r\n")

    def listen(self, word: str) -> None:
        """Open a port for the data."""
        self.data = socketserver.TCPServer(("127.0.0.1", 0), None)
        port = self.data.server_address[1]
        high, low = divmod(port, 256)
        passive = f"227 here (127,0,0,1,{high},{low})"
        self.say(passive if word == "PASV" else f"229 here (|||{port}|)")

    def send(self, path: Path) -> None:
        """Send a file with its size announced."""
        if not path.is_file():
            self.data.server_close()
            return self.say("550 no such file")
        data = path.read_bytes()
        self.transfer(data[:1000] if path.name == "cut.img" else data)
        return self.say("426 aborted" if path.name == "cut.img" else "226 done")

    def transfer(self, data: bytes) -> None:
        """Send data, without a word of how much it is."""
        self.say("150 coming")
        connection, _address = self.data.get_request()
        connection.sendall(data)
        connection.close()
        self.data.server_close()

    def facts(self, word: str, path: Path) -> None:
        """Tell size or time, but not of all files."""
        if path.name != "known.img":
            return self.say("502 not here")
        time = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.timezone.utc)
        facts = {"SIZE": str(path.stat().st_size), "MDTM": time.strftime("%Y%m%d%H%M%S")}
        return self.say("213 " + facts[word])


class Server(socketserver.ThreadingTCPServer):
    """A server whose clients may hang up as they like."""

    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """Write nothing."""


@contextlib.contextmanager
def serving(handler: object) -> Iterator[str]:
    """Give the address of a server that runs meanwhile."""
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
