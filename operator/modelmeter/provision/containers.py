"""Why pods that have a node do not serve: images, the loader, Triton, each in the kubelet's words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from modelmeter.provision.loaded import loader_report
from modelmeter.provision.loading import in_words
from modelmeter.provision.observed import Observed, PodFacts
from modelmeter.provision.pod import LOADER
from modelmeter.provision.remedies import LOADER_START, TRITON_START, with_remedy

IMAGE_REASONS: Final = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
START_REASONS: Final = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError")
CRASH_LOOP: Final = "CrashLoopBackOff"
LOOP_RESTARTS: Final = 2
"""One restart is none: whatever ended it may have passed."""
OUT_OF_MEMORY: Final = "OOMKilled"
OUT_OF_MEMORY_EXIT: Final = 137


def _waiting(seen: Observed, reasons: Iterable[str]) -> PodFacts | None:
    return next((pod for pod in seen.held() if pod.waiting_reason in reasons), None)


def source_image_not_pulled(seen: Observed) -> str | None:
    """The loader waits for what it mounts."""
    pod = _waiting(seen, IMAGE_REASONS)
    if pod is None or not seen.source_image or seen.source_image not in pod.waiting_message:
        return None
    return f"{pod.name}: {pod.waiting_message}; check spec.model.source and spec.serving.imagePullSecrets"


def image_not_pulled(seen: Observed) -> str | None:
    """The kubelet waits before it tries once more."""
    pod = _waiting(seen, IMAGE_REASONS)
    if pod is None:
        return None
    return (
        f"{pod.name}: {pod.waiting_message or pod.waiting_reason};"
        f" check the image of container {pod.waiting_container} and spec.serving.imagePullSecrets"
    )


def model_load_failed(seen: Observed) -> str | None:
    """In the loader's own words, where it had any."""
    failed = next((pod for pod in seen.held() if pod.loader_exit_code not in (None, 0)), None)
    if failed is None:
        return None
    again = _at_it(seen, failed)
    more = f" (once more: {again})" if again else ""
    return f"{failed.name}: {_failure(failed)}{more}"


def _failure(failed: PodFacts) -> str:
    report = loader_report(failed)
    if "error" in report:
        return f"{report['error']}; {report.get('remedy', '')}"
    if failed.loader_exit_code == OUT_OF_MEMORY_EXIT:
        return "the loader was killed, most likely for memory; raise spec.serving.resources.limits"
    return f"the loader ended with exit code {failed.loader_exit_code}; see kubectl logs {failed.name} -c loader"


def out_of_memory(seen: Observed) -> str | None:
    """Until it has started again."""
    pod = next((pod for pod in seen.held() if pod.ended_reason == OUT_OF_MEMORY), None)
    if pod is None:
        return None
    return (
        f"{pod.name}: container {pod.ended_container} was killed for memory;"
        " raise spec.serving.resources.limits.memory, or make requests smaller"
    )


def crash_looping(seen: Observed) -> str | None:
    """Also while it runs once more: the answer does not change with every attempt."""
    for pod in seen.held():
        if pod.ended_container and (pod.waiting_reason == CRASH_LOOP or pod.restarts >= LOOP_RESTARTS):
            return (
                f"{pod.name}: container {pod.ended_container} ends again and again, last with exit code"
                f" {pod.ended_exit_code}; see kubectl logs {pod.name} -c {pod.ended_container} --previous"
            )
    return None


def container_not_started(seen: Observed) -> str | None:
    """What a container is made of is missing."""
    pod = _waiting(seen, START_REASONS)
    if pod is None:
        return None
    said = f"{pod.name}: {pod.waiting_reason} in container {pod.waiting_container}: {pod.waiting_message}"
    table = LOADER_START if pod.waiting_container == LOADER else TRITON_START
    return with_remedy(said, table, f"see kubectl describe pod {pod.name}")


def pod_starting(seen: Observed) -> str | None:
    """Not even the loader runs."""
    pod = next((pod for pod in _not_loaded(seen) if not pod.loader_running), None)
    if pod is None:
        return None
    return (
        f"{pod.name} waits on its node for its volumes, its network or the loader's image;"
        f" if that lasts, see kubectl describe pod {pod.name}"
    )


def model_loading(seen: Observed) -> str | None:
    """The loader runs, and perhaps says how far it is."""
    pods = [pod for pod in _not_loaded(seen) if pod.loader_running]
    told = next((pod for pod in pods if _at_it(seen, pod)), None)
    if told is not None:
        return f"{told.name}: {_at_it(seen, told)}"
    return f"{pods[0].name} is fetching the model" if pods else None


def _at_it(seen: Observed, pod: PodFacts) -> str | None:
    """How far a pod's loader is, if it runs and says it."""
    load = seen.load
    return in_words(load) if load is not None and load.pod == pod.name and pod.loader_running else None


def _not_loaded(seen: Observed) -> Iterator[PodFacts]:
    return (pod for pod in seen.held() if pod.scheduled and pod.loader_exit_code is None and not pod.ready)


def pods_not_ready(seen: Observed) -> str | None:
    """Only once there is something to start: what keeps pods from getting there has a reason of its own."""
    if seen.ready or not any(pod.loader_exit_code == 0 for pod in seen.held()):
        return None
    return f"0 of {seen.desired} replicas are ready; Triton is starting or its probes fail (kubectl describe pod)"
