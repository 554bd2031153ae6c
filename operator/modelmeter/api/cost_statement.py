"""The CostStatement: the ledger page of one ModelDeployment for one calendar month (UTC).

Everything is in `spec`, not in `status`: backup tools drop status, and a ledger must come back whole.
Quantities are whole unit-seconds per day; money is derived from them and never stored as the truth.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from modelmeter.api.base import Struct, rule, rules
from modelmeter.api.pricing import Period
from modelmeter.api.scalars import INSTANT_PATTERN, Instant, Integer, Month

MAX_LINES: Final = 5000
MAX_UNPRICED: Final = 2000
MAX_UIDS: Final = 5000
MAX_CLAIMS: Final = 2000
MAX_OVERHEADS: Final = 64
MAX_REVISIONS: Final = 4
INSTANT: Final = INSTANT_PATTERN.strip("^$")
Certainty = Literal["exact", "estimated"]
PerUnit = Literal["hour", "GiB-hour", "year", "month", "day"]
GpuShare = Annotated[str, Field(pattern=r"^[1-9][0-9]*/[1-9][0-9]*$", max_length=40)]
"""A part of a whole GPU: "1/7"."""
REVISION: Final = r"^[0-9a-f]{16}$"
Revision = Annotated[str, Field(pattern=REVISION)]
"""A revision of a model: annotation modelmeter.dev/template-hash of its pods."""
OTHER: Final = "other"
"""Stands for all revisions that have no name any more, and for pods without one."""
ExactDecimal = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?(/[1-9][0-9]*)?$", max_length=400)]
"""An exact amount: a decimal string, or a fraction numerator/denominator."""


class ModelRef(Struct):
    """The ModelDeployment that the page is about; it may be gone."""

    namespace: str
    name: str
    uid: str


class Line(Struct):
    """Usage posted at one unit price: whole unit-seconds per day."""

    item: str
    """gpu, cpu (millicores), memory, storage (bytes), replica, labour/NAME, operations/NAME."""
    rate: str = ""
    """Which rate priced it: BOOK/INDEX; empty for labour, operations and replica."""
    unit_price: str = ""
    """Price of one unit as posted; empty where the item bears no price (replica)."""
    per: PerUnit = "hour"
    certainty: Certainty = "exact"
    correction: Month | None = None
    """The closed month that this line corrects; its days are that month's."""
    share: GpuShare | None = None
    """The part of a whole GPU that one unit is: cost = unitPrice x share x units. Absent: whole GPUs."""
    stage: str | None = None
    """The stage of the model's life that it serves: data, training, evaluation, ... Absent: serving."""
    reason: str | None = None
    """Why it is estimated: see docs/ledger.md."""
    revision: Revision | None = None
    """The revision of the pods that serve, where `revisions` has it."""
    days: dict[str, Integer]
    """Day of the month ("01") to unit-seconds: GPU-seconds, millicore-seconds, byte-seconds, seconds."""


class Profile(Struct):
    """What decides a price: see PriceBook match."""

    gpu_product: str = ""
    instance_type: str = ""
    region: str = ""
    capacity_type: str = ""
    storage_class: str = ""


class UnpricedSpan(Struct):
    """Usage that no rate covered when it was posted: `amount` units over [from, to)."""

    item: Literal["gpu", "cpu", "memory", "storage"]
    profile: Profile
    certainty: Certainty = "exact"
    from_: Annotated[Instant, Field(alias="from")]
    to: Instant
    amount: Integer
    """GPUs or parts of them, millicores or bytes; negative where it takes back what was posted too much."""
    share: GpuShare | None = None
    """The part of a whole GPU that one unit is. Absent: whole GPUs."""
    stage: str | None = None
    """The stage of the model's life that it serves. Absent: serving."""
    reason: str | None = None
    """Why it is estimated."""
    revision: Revision | None = None
    """The revision of the pods that serve, where `revisions` has it."""


class Settled(Struct):
    """A UID posted in full."""

    uid: str
    gone_since: Instant | None = None
    """When the object was first seen to be gone; the UID leaves the page an hour later."""


class Open(Struct):
    """UIDs whose usage up to postedThrough is in the lines, and what each of them held then."""

    amounts: Annotated[dict[str, Integer], Field(max_length=8)]
    """item to GPUs, millicores, bytes or replicas."""
    revision: Revision | None = None
    """Under which revision their usage stands; absent: under none."""
    uids: Annotated[list[str], Field(max_length=MAX_UIDS)]


LASTS: Final = ".."
"""The end of an interval that has none yet, as in ISO 8601."""
VANISHED: Final = "?"
"""After an end that nobody told: the pod was seen until then."""
Interval = Annotated[str, Field(pattern=rf"^{INSTANT}/({INSTANT}[?]?|[.][.])$", max_length=42)]
"""[from, to) as in ISO 8601: "2026-11-01T00:00:00Z/2026-11-02T00:00:00Z"; "..": it lasts; to?: nobody told its end."""


class ClaimUses(Struct):
    """Who uses a ResourceClaim of the model's pods, of whichever model, as it is counted up to postedThrough."""

    uid: str
    """Of the ResourceClaim."""
    users: Annotated[dict[str, Interval], Field(max_length=MAX_UIDS)]
    """Pod UID to when it used the claim; those who are gone are kept for a day."""


class Overhead(Struct):
    """Labour or operations as they accrue now, until the ModelDeployment says otherwise."""

    item: str
    unit_price: str
    per: Period


class CarriedPart(Struct):
    """Sums of one part of the whole, exact: of a stage, of a revision."""

    usage: dict[str, ExactDecimal] = {}
    cost: ExactDecimal = "0"


class Carried(Struct):
    """Sums of all earlier, closed pages, exact; GPU-seconds are those of whole GPUs."""

    usage: dict[str, ExactDecimal] = {}
    """item to unit-seconds, priced or bearing no price; unpriced spans are carried as spans."""
    cost: dict[str, ExactDecimal] = {}
    """compute, storage, labour, operations."""
    estimated: ExactDecimal = "0"
    """The part of these costs that is estimated."""
    stages: dict[str, CarriedPart] | None = None
    """Of each stage other than serving."""
    revisions: dict[str, CarriedPart] | None = None
    """Compute of serving by revision; of all that have no name any more, or never had one, under "other"."""
    estimates: dict[str, ExactDecimal] | None = None
    """Reason of an estimate to GPU-seconds."""
    unpriced: dict[str, ExactDecimal] | None = None
    """item to unit-seconds of the unpriced spans that came with the month: the totals of earlier pages count them."""


class Totals(Struct):
    """For people: what the page adds to those before it, rounded once. Derived, never read back.

    Money is of the month in which it was posted, GPU-seconds of the month in which they were first seen.
    """

    compute: str | None = None
    """Absent where something is used and nothing of it has a price; so with storage and total."""
    storage: str | None = None
    labour: str | None = None
    operations: str | None = None
    total: str | None = None
    gpu_seconds: Integer = "0"
    """Of whole GPUs: parts of GPUs are added exactly and rounded once."""


class Inference(Struct):
    """What the model's servers counted since `since`, each request once; nanoseconds are sums."""

    since: Instant
    """When counting began: with the model, or with the first operator that counts."""
    read_at: Instant | None = None
    """The latest reading; absent where no server was read yet."""
    answered: Integer = "0"
    """Requests that the ensemble answered."""
    failed: Integer = "0"
    """Failures as Triton counts them."""
    inferences: Integer = "0"
    """Texts in the answered requests."""
    request_nanoseconds: Integer = "0"
    """From the receipt of answered requests to their answers."""
    compute_nanoseconds: Integer = "0"
    """The part of it that the steps computed."""
    executions: Integer = "0"
    """Batches that the BERT step ran, those of its warm-up among them."""
    executed: Integer = "0"
    """Texts in these batches."""
    busy_nanoseconds: Integer = "0"
    """How long these batches took, each once."""
    unread_runs: Annotated[int, Field(ge=0)] = 0
    """Runs of a server that ended after a reading that was not their last: what they did since is not counted."""
    readings: Annotated[
        dict[str, Annotated[str, Field(pattern=r"^[0-9]+( [0-9]+){10}$", max_length=400)]], Field(max_length=MAX_UIDS)
    ] = {}
    """Pod UID to the reading up to which it is posted: restarts, Unix time, 1 where it was told to end, and the
    eight counters above in their order."""
    carried_compute: ExactDecimal = "0"
    """Compute cost of serving on earlier, closed pages since `since`; before it, with a minus, on this page."""
    carried_gpu_seconds: Integer = "0"
    """GPUs or parts of them x seconds, likewise: a part counts as one device."""
    carried_replica_seconds: Integer = "0"


class CostStatementSpec(Struct):
    """A ledger page. A closed page never changes."""

    model: Annotated[ModelRef, Field(json_schema_extra=rules(rule("self == oldSelf", "model cannot change")))]
    month: Annotated[Month, Field(json_schema_extra=rules(rule("self == oldSelf", "month cannot change")))]
    currency: str = ""
    """Empty until a PriceBook was found."""
    price_book: str = ""
    """The PriceBook that the ModelDeployment named last: it prices on when that is gone."""
    posted_through: Instant
    """T: usage of every UID in `open` is in the lines up to here."""
    closed: bool = False
    """The month is over, or the account is."""
    ended: bool = False
    """Nothing of the model is left that could cost: no page follows."""
    lines: Annotated[list[Line], Field(max_length=MAX_LINES)] = []
    unpriced: Annotated[list[UnpricedSpan], Field(max_length=MAX_UNPRICED)] = []
    overheads: Annotated[list[Overhead], Field(max_length=MAX_OVERHEADS)] = []
    overheads_until: Instant | None = None
    """Where labour and operations ended: the deletion of the ModelDeployment."""
    generation: Annotated[int, Field(ge=0)] = 0
    """Of the ModelDeployment whose labour and operations these are."""
    open: Annotated[list[Open], Field(max_length=MAX_UIDS)] = []
    """UIDs whose usage up to postedThrough is in the lines, by what they hold."""
    settled: Annotated[list[Settled], Field(max_length=MAX_UIDS)] = []
    """UIDs posted in full whose objects may still exist."""
    claims: Annotated[list[ClaimUses], Field(max_length=MAX_CLAIMS)] | None = None
    """ResourceClaims that pods of `open` use, and who shares them."""
    revisions: Annotated[dict[str, Instant], Field(max_length=MAX_REVISIONS)] | None = None
    """The latest revisions, each with when the first of its pods began: lines keep these apart, and no others."""
    lost: Annotated[str, Field(max_length=1024)] | None = None
    """What was shown of an earlier statement of the model that somebody deleted: it is not counted here."""
    carried: Carried = Carried()
    inference: Inference | None = None
    totals: Totals = Totals()
