"""Configs from elsewhere run nothing that the packaged bundles do not run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from utad_monai.bundle.configs import bundles_dir
from utad_monai.bundle.trust import (
    ConfigFileError,
    UntrustedConfigError,
    refuse_unsafe_logging,
    refuse_untrusted,
    refuse_untrusted_file,
)


@pytest.mark.parametrize("bundle", sorted(bundles_dir().glob("*.json")), ids=lambda path: path.stem)
def test_packaged_bundles_would_pass_themselves(bundle: Path) -> None:
    refuse_untrusted_file(bundle)


@pytest.mark.parametrize(
    "content",
    [
        {"max_epochs": 3, "betas": [0.5, 0.9], "workers": None, "flip": True, "_desc_": "costs $5 and 100 %"},
        {"loss": {"_target_": "DiceCELoss", "sigmoid": True}, "network": "@network_def"},
        {"+train::handlers": [{"_target_": "utad_monai.handlers.StopOnNonFinite", "_disabled_": True}]},
        {"train#trainer#max_epochs": "@max_epochs", "network": "$@network_def.to(@device)"},
        {"collate_fn": {"_target_": "utad_monai.data.single_case", "_mode_": "callable"}},
    ],
    ids=str,
)
def test_harmless_overlays_pass(content: dict[str, Any]) -> None:
    refuse_untrusted(content, "mine.json")


EVIL: dict[str, tuple[Any, str]] = {
    "expression": ({"x": "$__import__('os').system('id')"}, r"x: expression .*__import__.* is not allowed"),
    "import": ({"imports": ["$import evil"]}, r"imports::0: expression '\$import evil'"),
    "one letter more": ({"network": "$@network_def.to(@device) "}, "expression"),
    "in a list of lists": ({"a": [[["$1"]]]}, "a::0::0::0: expression"),
    "disabled by code": ({"a": {"_target_": "UNet", "_disabled_": "$1"}}, "a::_disabled_: expression"),
    "component": ({"a": {"_target_": "os.system", "command": "id"}}, r"a::_target_: component 'os\.system'"),
    "component by a path key": ({"train::trainer::_target_": "os.system"}, "component"),
    "component by the old path key": ({"train#trainer#_target_": "os.system"}, "component"),
    "component by reference": ({"b": "os.system", "a": {"_target_": "@b"}}, "component '@b'"),
    "component is a list": ({"a": {"_target_": ["os.system"]}}, "component"),
    "debugger": ({"a": {"_target_": "UNet", "_mode_": "debug"}}, "_mode_ 'debug'"),
    "breakpoint": ({"a": {"_target_": "UNet", "_debug_": True}}, "_debug_ True"),
    "other file": ({"a": "%/tmp/evil.json#x"}, "another config"),
    "content is a text": ("$1", "config: expression"),
}


@pytest.mark.parametrize(("content", "reason"), EVIL.values(), ids=EVIL)
def test_what_could_run_is_refused_with_file_key_and_text(content: Any, reason: str) -> None:
    with pytest.raises(UntrustedConfigError, match=rf"^mine\.json: .*{reason}.* in an untrusted config; --trust"):
        refuse_untrusted(content, "mine.json")


def test_endless_configs_are_refused() -> None:
    nested: list[Any] = []
    for _ in range(100):
        nested = [nested]
    laughs: list[Any] = []
    for _ in range(20):
        laughs = [laughs] * 10
    for content in (nested, laughs, [0] * 200_000):
        with pytest.raises(UntrustedConfigError, match=r"too deeply|too much"):
            refuse_untrusted({"a": content}, "mine.json")


@pytest.mark.parametrize("name", ["config.json", "config.yaml", "config.yml"])
def test_files_of_both_kinds_are_checked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"a": "$1"}')
    with pytest.raises(UntrustedConfigError, match=name):
        refuse_untrusted_file(tmp_path / name)
    (tmp_path / name).write_text('{"a": 1}')
    refuse_untrusted_file(tmp_path / name)


def test_yaml_runs_nothing_while_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"a: !!python/object/apply:os.mkdir ['{tmp_path}/made']")
    with pytest.raises(ConfigFileError, match=r"a\.yaml.*no readable"):
        refuse_untrusted_file(tmp_path / "a.yaml")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("text", ["", "{", "\x00", "[" * 100_000])
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigFileError) as refusal:
        refuse_untrusted_file(tmp_path / "a.json")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500


def test_large_missing_and_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "large.json").write_text(json.dumps("x" * 5_000_000))
    (tmp_path / "a.txt").write_text("{}")
    for name, reason in (("large.json", "too large"), ("none.json", "no such config"), ("a.txt", "no readable")):
        with pytest.raises(ConfigFileError, match=reason):
            refuse_untrusted_file(tmp_path / name)


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
