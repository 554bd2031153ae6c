"""Say to a registry who asks: Basic, or a token that another server gives for a scope."""

import base64
import binascii
import json
import os
import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode, urlsplit

from modelmeter.loader.download import Asking, get_json
from modelmeter.loader.errors import RefusedError, SourceError

DOCKER_CONFIG: Final = ".dockerconfigjson"
"""The key of a Secret of the type kubernetes.io/dockerconfigjson, and so the environment variable's name."""
DOCKER_HUB: Final = {"docker.io": "index.docker.io"}
"""As whom Docker's own command line keeps the credentials."""
CREDENTIALS_REMEDY: Final = "take another registry, or no credentials"
PARAMETER: Final = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Login:
    """How a repository is asked for.

    asking: how a stranger asks. plain: the registry is not https, so what it sends its credentials to need not be.
    """

    host: str
    repository: str
    asking: Asking
    plain: bool = False

    def answer(self, refusal: RefusedError) -> str:
        """Return the value of Authorization that a 401 asks for; the refusal itself where there is none."""
        kind, _, parameters = refusal.headers.get("WWW-Authenticate", "").partition(" ")
        basic = _basic(self.host)
        if kind.lower() == "basic" and basic:
            return basic
        asked = dict(PARAMETER.findall(parameters))
        if kind.lower() != "bearer" or "realm" not in asked:
            raise refusal
        if basic and not self.plain and urlsplit(asked["realm"]).scheme != "https":
            raise SourceError(f"{self.host} has credentials sent unencrypted to {asked['realm']}", CREDENTIALS_REMEDY)
        query = {
            "scope": asked.get("scope") or f"repository:{self.repository}:pull",
            **({"service": asked["service"]} if "service" in asked else {}),
        }
        given = get_json(f"{asked['realm']}?{urlencode(query)}", replace(self.asking, authorization=basic))
        token = given.get("token") or given.get("access_token") if isinstance(given, dict) else None
        if not token:
            raise refusal
        return f"Bearer {token}"


def _basic(host: str) -> str | None:
    """The credentials for a host as a Basic header's value; None where there are none."""
    if user := os.environ.get("OCI_USERNAME"):
        return _encoded(f"{user}:{os.environ.get('OCI_PASSWORD', '')}")
    try:
        entries = json.loads(os.environ.get(DOCKER_CONFIG) or "{}").get("auths", {})
        known = {_host(name): entry for name, entry in entries.items()}
        entry = known.get(DOCKER_HUB.get(host, host)) or known.get(host)
        if not entry:
            return None
        if "auth" in entry:
            return _encoded(base64.b64decode(entry["auth"], validate=True).decode())
        return _encoded(f"{entry['username']}:{entry['password']}")
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        # Its own message could quote a password.
        raise SourceError(
            f"the Secret's {DOCKER_CONFIG} cannot be read ({type(error).__name__})",
            "make it with kubectl create secret docker-registry",
        ) from None


def _host(name: str) -> str:
    """https://index.docker.io/v1/ -> index.docker.io."""
    return name.partition("://")[2].partition("/")[0] if "://" in name else name.partition("/")[0]


def _encoded(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"
