"""Which part of a whole GPU one unit of a resource is, by the names that NVIDIA's device plugin and GPU feature
discovery give to nodes: MIG (strategies single and mixed), time-slicing and MPS, and MIG that is time-sliced.

A part counts by compute slices: a 3g.40gb of an H100 is 3/7 of it, whatever memory it has. Of n replicas (time-slicing
and MPS) each is 1/n. What cannot be known is a whole GPU, and says so by a reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Final, NamedTuple

PREFIX: Final = "nvidia.com/"
PRODUCT: Final = f"{PREFIX}gpu.product"

SHARE_UNKNOWN: Final = "ShareUnknown"
"""Reason: one unit is a part of a GPU, but nothing says how large a part; it counts as a whole GPU."""

DEVICE_SLICES: Final = (
    (re.compile(r"(^|-)(A100|A800|H100|H800|H200|H20|GH200|B200|GB200|B300|GB300)(-|$)"), 7),
    (re.compile(r"(^|-)A30(-|$)"), 4),
    (re.compile(r"(^|-)RTX-PRO-6000(-|$)"), 4),
)
"""Product to the compute slices of a whole device, as in NVIDIA's MIG user guide."""

_RESOURCE: Final = re.compile(r"[^/]+/(?P<device>gpu|mig-(?P<profile>[^/]+?))(?P<shared>\.shared)?")
_PRODUCT: Final = re.compile(r"(?P<device>.*?)(-MIG-(?P<profile>[0-9A-Za-z.+]+))?(?P<shared>-SHARED)?")
_PROFILE: Final = re.compile(r"((?P<compute>\d+)c\.)?(?P<gpu>\d+)g\..*")


class Part(NamedTuple):
    """A part of a whole GPU; `reason` says why it is an estimate, or is empty."""

    share: Fraction
    reason: str = ""


WHOLE: Final = Part(Fraction(1))


def is_gpu(resource: str) -> bool:
    """Whether units of an extended resource are GPUs or parts of them."""
    return _RESOURCE.fullmatch(resource) is not None


def device_product(product: str) -> str:
    """The device's product, which prices name: without what says how it is divided.

    >>> device_product("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED")
    'NVIDIA-A100-SXM4-40GB'
    """
    return _matched(_PRODUCT, product)["device"]


def part(resource: str, labels: Mapping[str, str]) -> Part:
    """The part of a GPU that one unit of `resource` is on a node with these labels."""
    if not resource.startswith(PREFIX):
        return WHOLE
    name = _matched(_RESOURCE, resource)
    product = _matched(_PRODUCT, labels.get(PRODUCT, ""))
    profile = name["profile"] or product["profile"]
    whole = mig_part(profile, product["device"]) if profile else WHOLE
    replicas = labels.get(f"{PREFIX}{name['device']}.replicas", "")
    if replicas.isdecimal() and int(replicas) > 0:
        return Part(whole.share / int(replicas), whole.reason)
    # The product's suffix is about GPUs, and about MIG instances that are called so.
    shared = name["shared"] or (product["shared"] and not name["profile"])
    return Part(whole.share, SHARE_UNKNOWN) if shared else whole


def mig_part(profile: str, product: str) -> Part:
    """The part of a device that a MIG instance is.

    >>> mig_part("3g.20gb", "NVIDIA-A100-SXM4-40GB")
    Part(share=Fraction(3, 7), reason='')
    """
    match = _PROFILE.fullmatch(profile)
    slices = next((slices for pattern, slices in DEVICE_SLICES if pattern.search(product)), None)
    held = int(match["compute"] or match["gpu"]) if match else 0
    if slices is None or not 0 < held <= slices:
        return Part(WHOLE.share, SHARE_UNKNOWN)
    return Part(Fraction(held, slices))


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not the name of a GPU")
    return match
