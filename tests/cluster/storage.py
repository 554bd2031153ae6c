"""The objects of the harness's storage: its classes, and the volume that a claim gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

STANDARD: Final = "standard"
NEVER: Final = "never"
PROVISIONER: Final = "modelmeter.dev/harness"
CLASSES: Final = "/apis/storage.k8s.io/v1/storageclasses"

ANY_NODE: Final = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}

Object = dict[str, Any]


def storage_classes() -> Iterator[Object]:
    """Give both classes. No one provisions for `never`."""
    for name, provisioner in ((STANDARD, PROVISIONER), (NEVER, f"{PROVISIONER}-{NEVER}")):
        default = {"storageclass.kubernetes.io/is-default-class": "true"} if name == STANDARD else {}
        yield {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name, "annotations": default},
            "provisioner": provisioner,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate",
            "allowVolumeExpansion": True,
        }


def volume(claim: Object, path: str) -> Object:
    """Return the volume for a claim, at a path of every node; the claim controller sees its claimRef and binds them."""
    meta, spec = claim["metadata"], claim["spec"]
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    reference |= {key: meta[key] for key in ("namespace", "name", "uid")}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{meta['uid']}",
            "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
        },
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "volumeMode": spec.get("volumeMode", "Filesystem"),
            "storageClassName": STANDARD,
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": reference,
            # As a disk that any node can mount: a kubelet gives it to the pod's fsGroup.
            "local": {"path": path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [ANY_NODE]}]}},
        },
    }
