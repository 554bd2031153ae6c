"""The operator's token, in other hands, changes nobody's workloads; all other tests run under that policy."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cluster.user import User
from tests.e2e.test_shares import adopted, idle, labelled

pytestmark = pytest.mark.e2e
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "shop"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "shop"}},
        "template": {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}},
    },
}
TEMPLATE = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceClaimTemplate",
    "metadata": {"name": "gpus"},
    "spec": {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}]}}},
}


def denied(user: User, rights: Path, *arguments: str, input: str | None = None) -> str:
    """What kubectl says with the operator's rights where the policy refuses."""
    command = [user.cluster.binaries / "kubectl", f"--kubeconfig={rights}", f"--namespace={user.namespace}", *arguments]
    done = subprocess.run(command, input=input, capture_output=True, text=True, check=False)
    assert done.returncode, f"it worked: {arguments}"
    return done.stderr


def test_the_operators_token_changes_nobodys_workloads(user: User, installed: Path) -> None:
    user.apply(DEPLOYMENT)
    taken_over = {**DEPLOYMENT, "metadata": {"name": "shop", "labels": {"app.kubernetes.io/managed-by": "modelmeter"}}}
    foreign = {**DEPLOYMENT, "metadata": {"name": "miner"}}
    patch = json.dumps({"spec": {"replicas": 9}})
    for said in (
        denied(user, installed, "patch", "deployment", "shop", "-p", patch),
        denied(user, installed, "patch", "deployment", "shop", "-p", json.dumps(taken_over)),
        denied(user, installed, "delete", "deployment", "shop"),
        denied(user, installed, "create", "-f", "-", input=json.dumps(foreign)),
    ):
        assert "the operator changes no deployments but those of its models" in said
    said = denied(user, installed, "create", "job", "miner", "--image=a:1")
    assert "the operator changes no jobs but those of its models" in said
    said = denied(user, installed, "create", "-f", "-", input=json.dumps(TEMPLATE))
    assert "the operator changes no resourceclaimtemplates but those of its models" in said


def test_the_operators_token_changes_nobodys_autoscalers_and_budgets(user: User, installed: Path) -> None:
    user.apply(DEPLOYMENT)
    user.kubectl("autoscale", "deployment/shop", "--max=2")
    user.kubectl("create", "poddisruptionbudget", "shop", "--selector=app=shop", "--max-unavailable=1")
    for kind in ("horizontalpodautoscalers", "poddisruptionbudgets"):
        for said in (
            denied(user, installed, "delete", kind, "shop"),
            denied(user, installed, "patch", kind, "shop", "--type=merge", "-p", '{"spec": {"maxReplicas": 9}}'),
        ):
            assert f"the operator changes no {kind} but those of its models" in said


def test_of_what_was_labelled_by_hand_it_changes_its_own_notes_only(user: User, installed: Path) -> None:
    idle(user, "guarded")
    user.apply(labelled("ours", "guarded"))
    adopted(user, "ours")
    label = denied(user, installed, "patch", "pod", "ours", "-p", json.dumps({"metadata": {"labels": {"app": "x"}}}))
    image = {"spec": {"containers": [{"name": "work", "image": "evil:1"}]}}
    spec = denied(user, installed, "patch", "pod", "ours", "-p", json.dumps(image))
    assert "the operator changes nothing of what was labelled by hand but" in label
    assert "the operator changes no pods but those of its models" in spec
