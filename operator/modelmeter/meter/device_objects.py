"""The parts of ResourceClaims and ResourceSlices that metering reads."""

from __future__ import annotations

from msgspec import field

from modelmeter.meter.objects import Metadata, Partial


class Allocated(Partial, frozen=True):
    """A device that is allocated to a ResourceClaim."""

    driver: str = ""
    pool: str = ""
    device: str = ""
    admin_access: bool | None = None
    share_id: str = field(default="", name="shareID")
    consumed_capacity: dict[str, str] = {}


class AllocatedDevices(Partial, frozen=True):
    results: list[Allocated] = []


class Allocation(Partial, frozen=True):
    devices: AllocatedDevices = AllocatedDevices()


class Consumer(Partial, frozen=True):
    uid: str = ""


class ResourceClaimStatus(Partial, frozen=True):
    allocation: Allocation | None = None
    reserved_for: list[Consumer] = []


class ResourceClaim(Partial, frozen=True):
    metadata: Metadata
    status: ResourceClaimStatus = ResourceClaimStatus()


class Attribute(Partial, frozen=True):
    string: str = ""


class Capacity(Partial, frozen=True):
    value: str


class Device(Partial, frozen=True):
    """A device that a driver offers; its attributes' names may carry the driver's domain."""

    name: str
    attributes: dict[str, Attribute] = {}
    capacity: dict[str, Capacity] = {}

    def text(self, name: str) -> str:
        """A string attribute, or empty."""
        return next((value.string for key, value in self.attributes.items() if key.rpartition("/")[2] == name), "")


class Pool(Partial, frozen=True):
    name: str = ""
    generation: int = 0


class ResourceSliceSpec(Partial, frozen=True):
    driver: str = ""
    pool: Pool = Pool()
    devices: list[Device] = []


class ResourceSlice(Partial, frozen=True):
    metadata: Metadata
    spec: ResourceSliceSpec = ResourceSliceSpec()
