"""Judges facts that have nothing to do with a package manager. Pure."""

from typing import Mapping, NamedTuple, Optional, Sequence, Tuple

from os_update_agent.selftest.findings import Finding, attention, failed, not_checked, ok
from os_update_agent.text.phrases import amount

Version = Tuple[int, ...]
# Domains of SELinux that its reference policy lets start rpm, and processes that it does not confine.
_MAY_START_RPM = (
    *("unconfined_t", "unconfined_service_t", "initrc_t", "init_t", "kernel_t", "rpm_t", "cloud_init_t"),
    *("sysadm_t", "system_cronjob_t", "crond_t", "staff_t"),
)
# A run of hundreds of packages and its logs; the build of two tiny packages.
_STATE_BYTES, _TEMPORARY_BYTES = 500 * 10**6, 100 * 10**6


class Probe(NamedTuple):
    """The modules under the worker's Python: ``versions`` maps those that load to their versions, ``errors`` the others
    to the reason. ``left_out`` are dnf's plugins that the worker does not load.
    """

    python: Version
    program: str
    versions: Mapping[str, str]
    errors: Mapping[str, str]
    left_out: Tuple[str, ...] = ()


class Selinux(NamedTuple):
    """``mode`` is "" without SELinux. ``chain`` is the context of os-collect-config, "" if it does not run. ``files``
    maps paths to their contexts, "" if a path has none.
    """

    mode: str
    chain: str
    own: str
    files: Mapping[str, str]


def python(version: Version, program: str, oldest: Version) -> Finding:
    found = f"Python {_dotted(version)} ({program})"
    if version >= oldest:
        return ok(f"{found}; {_dotted(oldest)} or later is needed")
    return failed(f"{found} is too old", f"install Python {_dotted(oldest)} or later and run install-hook again")


def bindings(probe: Probe, packages: str) -> Finding:
    """``packages`` are the packages that have the bindings."""
    where = f"under {probe.program} (Python {_dotted(probe.python)})"
    if probe.errors:
        why = "; ".join(f"{name}: {error}" for name, error in probe.errors.items())
        return failed(f"cannot be loaded {where}: {why}", f"install {packages} of the distribution, or reinstall them")
    named = [f"{name} {version}".strip() for name, version in probe.versions.items() if "." not in name]
    return ok(f"{', '.join(named)}, and the worker itself, load {where}")


def selinux(facts: Selinux) -> Finding:
    if not facts.mode:
        return ok("this kernel has no SELinux, or it is disabled")
    chain = f"os-collect-config, which starts the hook, runs as {facts.chain or 'unknown (it does not run)'}"
    files = ", ".join(f"{path} {context or 'has no context'}" for path, context in facts.files.items())
    found = f"{facts.mode}; {chain}; this command runs as {facts.own}; {files or 'the agent has no files here yet'}"
    domain = [*facts.chain.split(":"), "", "", ""][2]
    if facts.chain and domain not in _MAY_START_RPM:
        return attention(
            found,
            f"{domain} may not be allowed to start rpm or dnf: 'sesearch -A -s {domain} -t rpm_exec_t -c file -p"
            " execute' lists the rule, and 'ausearch -m avc -ts recent' shows refusals after a delivery",
        )
    if facts.mode == "enforcing" and not facts.chain:
        return attention(found, "start os-collect-config and run the selftest again, to learn its context")
    return ok(found)


def trusted(error: str, seen: Sequence[str]) -> Finding:
    """``seen`` are the directories with their modes, ``error`` why one is refused."""
    if error:
        return failed(error, "correct the owner or the mode of that path; every run is refused until then")
    return ok(f"only root or this user can write to {', '.join(seen)}")


def room(state: Tuple[str, int], temporary: Tuple[str, int]) -> Finding:
    """Each is a directory and its free bytes."""
    found = "; ".join(f"{amount(free)} free in {path}" for path, free in (state, temporary))
    if state[1] < _STATE_BYTES or temporary[1] < _TEMPORARY_BYTES:
        return attention(found, f"make room: {amount(_STATE_BYTES)} for the state, which keeps package files, and"
                         f" {amount(_TEMPORARY_BYTES)} for temporary files are enough for most updates")  # fmt: skip
    return ok(found)


def clock(now: float, words: str, installed: float, synchronized: Optional[bool]) -> Finding:
    """``words`` is the time as text, ``installed`` when the agent's code was written, both in seconds."""
    state = {True: "synchronized", False: "not synchronized", None: "nobody says whether it is synchronized"}
    found = f"{words}, {state[synchronized]}"
    if now < installed:
        return failed(f"{found}, before the agent was installed", "set the clock: certificates and ages depend on it")
    if synchronized is False:
        return attention(found, "start chronyd or systemd-timesyncd: Heat refuses signals of a clock that is wrong")
    return ok(found)


def transient_units(has_systemd: bool, is_root: bool, version: str, error: str) -> Finding:
    if not has_systemd:
        return attention(
            "systemd is not at work here, so a worker is a session without a parent",
            "nothing has to be done if this node has another init; a restart of os-collect-config spares the worker",
        )
    if error:
        return failed(f"systemd does not answer: {error}", "repair systemd or D-Bus: a run would die with its caller")
    if not is_root:
        return not_checked(f"systemd {version} answers, but only root may start transient units", "run it as root")
    return ok(f"systemd {version} answers and systemd-run is there; the rehearsal below starts a unit")


def chain(there: Mapping[str, bool], is_hook_there: bool) -> Finding:
    """``there`` maps each part of the chain to whether it exists."""
    missing = [name for name, exists in there.items() if not exists]
    if missing:
        return attention(
            f"missing: {', '.join(missing)}",
            "install os-collect-config and heat-config if Heat manages this node; the command itself works without",
        )
    if not is_hook_there:
        return attention(f"{', '.join(there)}, but no hook package-update", "run 'os-update-agent install-hook'")
    return ok(f"{', '.join(there)}, and the hook package-update")


def node(unsuitable: str, pending: Sequence[str]) -> Finding:
    if unsuitable:
        return failed(unsuitable, "do what is named here; the agent refuses deliveries on this node")
    if pending:
        return attention("; ".join(pending), "reboot first: an update that may reboot is refused until then")
    return ok("its packages may be changed; no offline update waits for a boot")


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
