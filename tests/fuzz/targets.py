"""The targets of the fuzzing: each reader of text from elsewhere, with real samples of that text."""

import contextlib
import json
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Tuple

from fuzz import files, wire
from fuzz.target import Target
from os_update_agent.config import options, policy, settings
from os_update_agent.heat import deployment, metadata, outcome
from os_update_agent.ledger.kinds import CHANGES, REQUEST, RUN, TARGET
from os_update_agent.model.deliveries import Deployment, Outcome, Output
from os_update_agent.model.errors import AgentError
from os_update_agent.model.field_types import Unreadable
from os_update_agent.model.policy import Policy
from os_update_agent.packages import complaints, globs, progress
from os_update_agent.packages.apt import dpkg_files, order
from os_update_agent.packages.apt import parse as apt
from os_update_agent.packages.dnf import lines
from os_update_agent.packages.rpm import parse as rpm
from os_update_agent.text.log_lines import logged
from os_update_agent.text.printable import printable, printable_json, printable_lines

CAPTURES = Path(__file__).parents[1] / "unit" / "heat" / "captures"

# Characters that break readers of lines, of fields, of terminals, and of encodings.
NASTY = "\x00\t\n\r\x0b\x1b\x1c\x85\x9b\u2028\u202e\ufeff\udc80\U0001f600\\\"'`$%{}[]()<>:;,=|&#*-_. 0"
SNIPPETS = (
    *("\n\n", "\t\t", "null", "true", "-1", "1e999", "NaN", "9" * 5000, "[" * 300, "{" * 300, "&a [*a]", "<<: *a"),
    *("(none)", "../../etc/passwd", "%s%n", "\x1b]0;t\x07", "é", "\xff", " " * 300, "a" * 3000, "2.0-1", "1:2~3+4-5"),
)


def _each(*readers: Callable[[str], object]) -> Callable[[str], object]:
    """Return a reader that calls all readers, each of which may refuse the text."""

    def read(text: str) -> None:
        for reader in readers:
            with contextlib.suppress(AgentError):
                found = reader(text)
                for _ in found if isinstance(found, Iterator) else ():
                    pass

    return read


def _replaced(blank: Deployment, source: str, given: Mapping[str, Any]) -> Deployment:
    return Deployment(**{**blank._asdict(), source: given})


def _policy(text: str) -> object:
    """Read a policy whose inputs, config and options are the JSON text, or the text itself."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = text
    given = found if isinstance(found, dict) else {"packages": found, "update_after_time": found}
    blank = Deployment("c", "n", "UPDATE", "s/1", "r", "server")
    for source in ("inputs", "config", "options"):
        with contextlib.suppress(AgentError):
            policy.read(_replaced(blank, source, given), {})
    return policy.of_defaults("key", {name: text for name in options.READERS})


def _stored_policy(text: str) -> object:
    try:
        return Policy.from_json(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _result(text: str) -> None:
    """Whatever a run says, the body is ASCII JSON of at most 256 KiB."""
    declared = [Output(text), Output(text[::-1], error_output=True), Output("changes")]
    body = outcome.encode(Outcome(1, text, text, {text: [text], "changes": {"a": text}}), declared, secrets=[text[:9]])
    assert body.isascii() and len(body) <= outcome.BODY_LIMIT
    assert type(json.loads(body)["deploy_status_code"]) is int


def _shown(text: str) -> None:
    """Nothing that is shown holds a control character."""
    assert printable(text).isprintable()
    assert all(line.isprintable() for line in printable_lines(text).split("\n"))
    assert logged(key=text).isprintable()
    quoted = printable_json(json.dumps(text, ensure_ascii=False))
    assert quoted.isprintable() and json.loads(quoted) == text


def _listed(text: str) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return metadata.overtaker(metadata.parse_list(found), "c1")


def _captures(pattern: str) -> Tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8") for path in sorted(CAPTURES.glob(pattern)))


def _with_config(text: str) -> object:
    inputs = {"deploy_action": "UPDATE", "deploy_stack_id": "web/1", "deploy_resource_name": "update"}
    items = [{"name": name, "value": value} for name, value in inputs.items()]
    return deployment.parse(json.dumps({"id": "c", "inputs": items, "config": text, "options": text}))


_APT = (
    "app\tamd64\t1.0-1\tinstall\tinstalled\tok\nlib\tall\t2:1.0~rc1\thold\thalf-installed\treinstreq\n",
    "Package: app\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: lib\nAuto-Installed: 0\n",
    "Inst app [1.0-1] (2.0-1 Debian-Security:12/oldstable-security, local-deb [amd64]) []\nRemv oldname [1.0-1]\n"
    "The following packages have been kept back:\n  a b\nPurg leftover\n",
    "'http://deb.example/pool/app_2.0-1_amd64.deb' app_2.0-1_amd64.deb 20672 SHA256:" + "e" * 64 + "\n",
    "Package: app\nArchitecture: amd64\nVersion: 2.0-1\nInstalled-Size: 12\n\n",
    " app : Depends: app-extra but it is not installable\n      Breaks: tool (< 2)\nE: Unable to correct problems\n",
    "pmerror:/var/cache/app_2.0-1_amd64.deb:42.8:subprocess failed\npmstatus:dpkg-exec:0:x\n",
    "/etc/app.conf 0123456789abcdef0123456789abcdef obsolete\n/etc/b 0123456789abcdef0123456789abcdef\n",
    "/bin/sh\n/bin/sh.distrib\n:\n/a\n/b\napp\n",
    "drwxr-xr-x root/root         0 2026-01-02 10:11 ./usr/\n"
    "lrwxrwxrwx root/root         0 2026-01-02 10:11 ./usr/lib/libapp.so.1 -> libapp.so.1.0\n",
    "installed\tapp\tamd64\t1.0-1\tyes\tlibc6 (>= 2.36), a | b\tc\td (<< 1:2)\te\n",
    "Unpacking libapp1:amd64 (1.0-1) over (2.0-1) ...\nReplaced by files in installed package lib ...\n"
    "(Noting disappearance of fonts-old, which has been completely replaced.)\ncomplaint: x\n",
    "E: Can't find a source to download version '1.0-1' of 'app:amd64'\nE: Unable to locate package x:i386\n",
)
_RPM = (
    "app\tx86_64\t0\t1.0-1\t0123456789abcdef0123456789abcdef\t1024\ngpg-pubkey\t(none)\t0\t1-1\t(none)\t0\n",
    "app\tx86_64\t(none)\t1.0-1\t17\n",
    "app\tx86_64\t0\t1.0-1\t33188\t0\t0\t4294967295\t8\t" + "a" * 64 + "\t\t/usr/bin/app\n",
    "1\t8\t" + "a" * 64 + "\tapp\t/etc/app.conf\n",
    "/boot/vmlinuz-6.1.0-1.x86_64\t4096\n/boot/initramfs-6.1.img\t77\n/lib/modules/6.1/vmlinuz\t3\n",
)
_CONF = (
    "[node]\nroot = /srv/root\nbackend = dnf\n[paths]\nstate = /s\nmetrics = /m/a.prom\n[signal]\nca_certificate = /c\n"
    "[defaults]\nkeep = 3\narchive = required\n",
)
_YAML = (
    "packages: [curl, 'lib*']\nkeep: 3\narchive: required\nwhen: 2026-11-30 10:00:00\n",
    "x: &x [curl]\npackages: *x\nm: &m {keep: 3}\nn: {<<: *m}\nset: !!set {a, b}\nbin: !!binary aGk=\n",
)
_OPTIONS = (
    '{"packages": ["curl", "lib*"], "keep": "3", "archive": "required", "operation": "stop", "units": ["a.service"]}',
    '{"trigger": "when", "when": {"a": [1, 2.5, null, true]}, "deadline": "60", "signal_timeout": 3}',
)
_LIST = (
    '[{"id": "c1", "creation_time": "2026-11-30T10:00:00Z", "inputs": [{"name": "deploy_stack_id", "value": "s"},'
    ' {"name": "deploy_resource_name", "value": "r"}]}]',
)
_DOCUMENTS = (
    '{"version":1,"key":"k","value":"v","kind":"update","phase":"plan","started":1.5,"progress":{"impact":"changed"},'
    '"plan":{"changes":[[["app","amd64","1"],null]],"held_back":[["a","b"]]},"policy":{"keep":3}}',
    '{"version":2,"transport":"CFN_SIGNAL","secret":{"url":"https://heat.example/"},"stack_id":"s"}',
    '{"changes":[[["app","amd64","1.0","installed","install","ok","auto"],null,["Lab:lab"],true]]}',
)
_REPLY = ('{"answer": [1, ["a"]], "error": null}\n', '["Refused", "why"]\n')

TARGETS: Tuple[Target, ...] = (
    Target("deployment", deployment.parse, _captures("*.json")),
    Target("config", _with_config, _YAML),
    Target("options", _policy, _OPTIONS),
    Target("agent.conf", lambda text: settings.parse(text, "agent.conf"), _CONF),
    Target("metadata", _listed, _LIST),
    Target(
        "apt",
        _each(
            lambda text: apt.parse_installed(text, frozenset(), "amd64"),
            apt.parse_extended_states,
            apt.parse_simulation,
            apt.parse_uris,
            apt.parse_installed_sizes,
            apt.why_impossible,
            apt.first_error,
            apt.parse_failures,
            apt.parse_all_conffiles,
            lambda text: apt.parse_unavailable(text, ()),
            order.parse_needs,
            dpkg_files.parse_conffiles,
            dpkg_files.packaged_texts,
            lambda text: dpkg_files.parse_diversions(text, "app"),
            dpkg_files.packed_paths,
            lambda text: dpkg_files.packed_looks(text, ["/usr"]),
            lambda text: dpkg_files.left_out(text.splitlines()),
            complaints.complaints_in,
            complaints.disappeared_in,
            complaints.left_out_of,
            progress.last_step,
        ),
        _APT,
    ),
    Target("versions", lambda text: order.compare(*text.partition("\n")[::2]), ("1:2.0~rc1-1\n2.0-1", "1.0\n1.0+b1")),
    Target(
        "rpm",
        _each(
            lambda text: rpm.parse_installed(text, lambda name, arch: "user"),
            rpm.parse_sizes,
            rpm.parse_builds,
            rpm.parse_instances,
            lambda text: rpm.parse_listed(text, [("app", "x86_64", "1.0-1")]),
            rpm.parse_packaged_texts,
            rpm.parse_new_kernels,
            lambda text: rpm.parse_installed_since(text, 1.0, ["app"]),
        ),
        _RPM,
    ),
    Target("reply of dnf", lambda text: lines.as_reply(text.encode("utf-8", "surrogateescape")), _REPLY, (ValueError,)),
    Target("run document", lambda text: RUN.decode(text, id=1), _DOCUMENTS, (Unreadable,)),
    Target("changes document", CHANGES.decode, _DOCUMENTS, (Unreadable,)),
    Target("request document", REQUEST.decode, _DOCUMENTS, (Unreadable,)),
    Target("target document", TARGET.decode, _DOCUMENTS, (Unreadable,)),
    Target("policy document", _stored_policy, _DOCUMENTS),
    Target("result", _result, ("the update failed\n\nlog", "päßwörd")),
    Target("shown text", _shown, ("curl 1.0-1",)),
    Target("globs", lambda text: globs.first_match("curl", "amd64", [text]), ("cu*", "[a-z]url")),
    *files.TARGETS,
    *wire.TARGETS,
)
