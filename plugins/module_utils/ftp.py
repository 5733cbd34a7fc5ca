"""A file on an ftp server (RFC 959), read as what urllib gives for http.

urllib's own ftp takes a broken connection for the end of the file, and lists what is a directory.
"""

import calendar
import email.utils
import ftplib
import socket
import time
from typing import Optional, Tuple
from urllib.parse import unquote, urlsplit

from ansible_collections.one.tm.plugins.module_utils.webrules import Deadline, Guard

__metaclass__ = type

# Of what a server says in all: a few commands, and a welcome.
MOST_LINES = 200


class _Client(ftplib.FTP):
    """A client whose connections all lead to one address."""

    _lines = 0

    def connect_by(self, connection: socket.socket) -> None:
        """Take a connection to a server, and its welcome."""
        self.sock = connection
        self.host = connection.getpeername()[0]
        self.af = connection.family
        self.file = connection.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()

    def getline(self) -> str:
        """Read a line; ftplib would take an answer that has no end."""
        self._lines += 1
        if self._lines > MOST_LINES:
            raise ftplib.Error("the server says more than %d lines" % MOST_LINES)  # noqa: S321 - asked for
        return super(_Client, self).getline()

    def makepasv(self) -> Tuple[str, int]:
        """Ask for a port, on the server itself: what address it names is not looked at."""
        return self.host, super(_Client, self).makepasv()[1]


class FtpFile:
    """A file that is being fetched.

    Attributes:
        headers: ``Content-Length`` and ``Last-Modified``, as far as the server knows SIZE and MDTM
            (RFC 3659).
    """

    def __init__(self, url: str, timeout: int, guard: Guard, deadline: Deadline) -> None:
        """Log in and ask for the file.

        Args:
            url: ``ftp://[user[:password]@]host[:port]/path`` (RFC 1738, 3.2).
            timeout: longest silence in seconds.
            guard: judges the server.
            deadline: ends it.

        Raises:
            TmError: the server is not allowed.
            ftplib.Error: the server refuses, or the URL names a directory.
            OSError: the server cannot be reached.
        """
        parts = urlsplit(url)
        path, _semicolon, kind = parts.path.partition(";type=")
        directory, _slash, name = path[1:].rpartition("/")
        if not name or kind.lower() == "d":
            raise ftplib.error_perm("it is a directory, an image is needed")  # noqa: S321 - asked for
        self._deadline = deadline
        self._ftp = _Client(timeout=timeout)
        try:
            place = (parts.hostname or "", parts.port or ftplib.FTP_PORT)
            self._ftp.connect_by(deadline.watch(guard.connect(place, timeout)))
            self._ftp.login(unquote(parts.username or ""), unquote(parts.password or ""))
            if directory:
                self._ftp.cwd(unquote(directory))
            self._begin(unquote(name))
        except BaseException:
            self._ftp.close()
            raise

    def _begin(self, name: str) -> None:
        self._ftp.voidcmd("TYPE I")
        size, modified = self._ask("SIZE " + name), self._ask("MDTM " + name)
        connection, announced = self._ftp.ntransfercmd("RETR " + name)
        self._deadline.watch(connection)
        with connection:
            self._data = connection.makefile("rb")  # type: Any
        self.headers = {"Content-Length": size or str(announced or "")}  # type: Dict[str, str]
        if modified:
            seconds = calendar.timegm(time.strptime(modified[:14], "%Y%m%d%H%M%S"))
            self.headers["Last-Modified"] = email.utils.formatdate(seconds, usegmt=True)

    def _ask(self, command: str) -> Optional[str]:
        try:
            answer = self._ftp.sendcmd(command)
        except ftplib.error_perm:
            return None
        return answer[4:].strip() if answer.startswith("213") else None

    def read(self, size: int) -> bytes:
        """Return the next bytes; none at the end, when the server has said that it was all.

        Raises:
            ftplib.Error: it was not all.
        """
        data = b"" if self._data.closed else self._data.read(size)
        if not data and not self._data.closed:
            self._data.close()
            self._ftp.voidresp()
        return bytes(data)

    def close(self) -> None:
        """Hang up."""
        self._data.close()
        self._ftp.close()
