"""A file on an ftp server (RFC 959), read as what urllib gives for http.

urllib's own ftp takes a broken connection for the end of the file, and lists what is a directory.
"""

import calendar
import email.utils
import ftplib
import time
from typing import Optional
from urllib.parse import unquote, urlsplit

__metaclass__ = type


class FtpFile:
    """A file that is being fetched.

    Attributes:
        headers: ``Content-Length`` and ``Last-Modified``, as far as the server knows SIZE and MDTM
            (RFC 3659).
    """

    def __init__(self, url: str, timeout: int) -> None:
        """Log in and ask for the file.

        Args:
            url: ``ftp://[user[:password]@]host[:port]/path`` (RFC 1738, 3.2).
            timeout: longest silence in seconds.

        Raises:
            ftplib.Error: the server refuses, or the URL names a directory.
            OSError: the server cannot be reached.
        """
        parts = urlsplit(url)
        path, _semicolon, kind = parts.path.partition(";type=")
        directory, _slash, name = path[1:].rpartition("/")
        if not name or kind.lower() == "d":
            raise ftplib.error_perm("it is a directory, an image is needed")  # noqa: S321 - asked for
        self._ftp = ftplib.FTP(timeout=timeout)  # noqa: S321 - as the Storage Guide has it
        try:
            self._ftp.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
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
        data = self._data.read(size)
        if not data:
            self._data.close()
            self._ftp.voidresp()
        return bytes(data)

    def close(self) -> None:
        """Hang up."""
        self._data.close()
        self._ftp.close()
