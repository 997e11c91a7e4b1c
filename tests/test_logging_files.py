"""A logging config from elsewhere may only write to the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from utad_monai.configuration import bundles_dir
from utad_monai.logging_files import refuse_unsafe_logging
from utad_monai.trust import ConfigFileError, UntrustedConfigError

CONFIG = """
[loggers]
keys=root
[handlers]
keys=h
[formatters]
keys=f
[logger_root]
level=INFO
handlers=h
[handler_h]
class={kind}
args={arguments}
{more}
[formatter_f]
format=%(asctime)s %(message)s
{formatter}
"""


def write(
    path: Path, kind: str = "StreamHandler", arguments: str = "(sys.stdout,)", more: str = "", formatter: str = ""
) -> Path:
    path.write_text(CONFIG.format(kind=kind, arguments=arguments, more=more, formatter=formatter))
    return path


def test_packaged_and_plain_configs_pass(tmp_path: Path) -> None:
    refuse_unsafe_logging(bundles_dir() / "logging.conf")
    refuse_unsafe_logging(write(tmp_path / "a.conf"))
    refuse_unsafe_logging(write(tmp_path / "a.conf", "logging.NullHandler", "()", "kwargs={}"))


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": "(__import__('os').system('id'),)"},
        {"arguments": "(open('x', 'w'),)"},
        {"more": "kwargs={'stream': __import__('sys').stderr}"},
        {"more": "KWARGS = dict()"},
        {"kind": "FileHandler", "arguments": "('.bashrc',)"},
        {"kind": "handlers.SocketHandler", "arguments": "('localhost', 1)"},
        {"kind": "__import__('os').getcwd"},
        {"kind": "os.system"},
        {"formatter": "class=evil.Formatter"},
        {"formatter": "defaults=__import__('os').environ"},
        {"arguments": "%(x)s", "more": "x=open('x', 'w')"},
    ],
    ids=str,
)
def test_what_could_run_or_write_is_refused(tmp_path: Path, change: dict[str, str]) -> None:
    with pytest.raises(UntrustedConfigError, match=r"a\.conf: (handler_h|formatter_f): .* not allowed "):
        refuse_unsafe_logging(write(tmp_path / "a.conf", **change))


def test_defaults_of_all_sections_are_checked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conf")
    path.write_text("[DEFAULT]\nkwargs=open('x', 'w')\n" + path.read_text())
    with pytest.raises(UntrustedConfigError, match="kwargs"):
        refuse_unsafe_logging(path)


@pytest.mark.parametrize("content", [b"no sections", b"\xff\xfe\x00", b"[a]\nb=1\n[a]\n", b"[a]\nx=%(missing)s\n"])
def test_damaged_and_missing_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.conf").write_bytes(content)
    with pytest.raises(ConfigFileError, match=r"a\.conf"):
        refuse_unsafe_logging(tmp_path / "a.conf")
    with pytest.raises(ConfigFileError, match=r"b\.conf"):
        refuse_unsafe_logging(tmp_path / "b.conf")
