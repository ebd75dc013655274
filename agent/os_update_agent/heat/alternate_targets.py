"""Alternative signal targets: an expired CFN_SIGNAL URL can be signed anew, or the result sent as the server's own
user.

keystone refuses a signed URL 15 minutes after its Timestamp ([credential] auth_ttl) and does not look at the time of
one that has no Timestamp; heat lets any user of the stack's domain project signal (heat: resources.signal). Both were
tried on a real Heat.
"""

import configparser
from contextlib import suppress
from pathlib import Path
from typing import Dict, List, Mapping, Tuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from os_update_agent.config.bounded_files import read_text
from os_update_agent.model.deliveries import SignalTarget


def other_targets(target: SignalTarget, collect_config: Path) -> Tuple[SignalTarget, ...]:
    """Return the other targets for a refused CFN_SIGNAL, best first.

    They use the credentials that os-collect-config polls with.
    """
    if target.transport != "CFN_SIGNAL" or "url" not in target.secret:
        return ()
    sections = _sections(collect_config)
    found: List[SignalTarget] = []
    cfn, heat = sections.get("cfn", {}), sections.get("heat", {})
    if cfn.get("access_key_id") and cfn.get("secret_access_key"):
        with suppress(ValueError):  # a URL that is none
            url = signed_anew(target.secret["url"], cfn["access_key_id"], cfn["secret_access_key"])
            found.append(SignalTarget("CFN_SIGNAL", target.stack_id, target.resource_name, target.verb, {"url": url}))
    if all(heat.get(name) for name in ("auth_url", "user_id", "password", "project_id")):
        names = ("auth_url", "user_id", "password", "project_id", "region_name")
        secret = {name: heat[name] for name in names if heat.get(name)}
        found.append(SignalTarget("HEAT_SIGNAL", target.stack_id, target.resource_name, "POST", secret))
    return tuple(found)


def signed_anew(url: str, access_key: str, secret_key: str) -> str:
    """Sign the same URL with another key and without a time (AWS signature version 2, as heat: signal_responder)."""
    parts = urlsplit(url)
    parameters = {"SignatureMethod": "HmacSHA256", "SignatureVersion": "2", "AWSAccessKeyId": access_key}
    keep = dict(parse_qsl(parts.query))
    for name in ("Timestamp", "Signature", *parameters):
        keep.pop(name, None)
    parameters.update(keep)
    parameters["Signature"] = _signature(secret_key, parts.netloc.lower(), unquote(parts.path), parameters)
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters.items())
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def _signature(secret_key: str, host: str, path: str, parameters: Mapping[str, str]) -> str:
    """Return the signature of a POST, as keystone calculates it (keystoneclient: contrib/ec2/utils.py)."""
    import base64  # late: only an expired URL needs these
    import hmac

    query = "&".join(f"{quote(name, safe='')}={quote(parameters[name], safe='-_~')}" for name in sorted(parameters))
    text = f"POST\n{host}\n{path}\n{query}"
    return base64.b64encode(hmac.new(secret_key.encode(), text.encode(), "sha256").digest()).decode()


def _sections(path: Path) -> Mapping[str, Mapping[str, str]]:
    # oslo.config writes "$$" for "$".
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="")
    try:
        parser.read_string(read_text(path))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return {}
    sections: Dict[str, Mapping[str, str]] = {}
    for name in parser.sections():
        sections[name] = {key: value.replace("$$", "$") for key, value in parser.items(name)}
    return sections
