"""GPUs that are devices of a DRA driver: the template of the claims, what pods have of it, what an estimate says."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelmeter.__main__ import main
from modelmeter.errors import SpecError
from modelmeter.provision.children import desired
from modelmeter.provision.device_claim import template_name
from modelmeter.provision.pod import pod_spec
from tests.generate import ROOT
from tests.provision.builders import DEVICES, FULL, model

PRICES = ROOT / "manifests" / "pricebook.yaml"


def asking(**gpu: Any) -> dict[str, Any]:
    """DEVICES with some of its GPUs' fields changed."""
    spec = copy.deepcopy(DEVICES)
    spec["serving"]["gpu"] |= gpu
    return spec


def test_the_pod_claims_what_the_template_says_and_no_extended_resource() -> None:
    children = {child["kind"]: child for child in desired(model(DEVICES), "loader:1")}
    (request,) = children["ResourceClaimTemplate"]["spec"]["spec"]["devices"]["requests"]
    assert (request["exactly"]["deviceClassName"], request["exactly"]["count"]) == ("gpu.nvidia.com", 2)
    pod = children["Deployment"]["spec"]["template"]["spec"]
    (claim,) = pod["resourceClaims"]
    assert claim["resourceClaimTemplateName"] == children["ResourceClaimTemplate"]["metadata"]["name"]
    triton = pod["containers"][0]["resources"]
    assert triton["claims"] == [{"name": claim["name"]}]
    assert not any("gpu" in name for amounts in (triton["requests"], triton["limits"]) for name in amounts)
    # A product is the device's own, not a label of its node.
    assert "nodeSelector" not in pod


@pytest.mark.parametrize(
    "gpu", [{"count": 1}, {"deviceClassName": "mig.nvidia.com"}, {"selectors": []}, {"product": ""}], ids=str
)
def test_what_is_asked_for_names_the_template(gpu: dict[str, Any]) -> None:
    names = {template_name(model(asking(**gpu))), template_name(model(DEVICES))}
    assert len(names) == 2
    assert all(re.fullmatch(r"intent-gpu-[0-9a-f]{8}", name) for name in names)


def test_more_replicas_claim_by_the_same_template() -> None:
    more = copy.deepcopy(DEVICES)
    more["serving"] |= {"replicas": 5, "nodeSelector": {"zone": "a"}}
    assert template_name(model(more)) == template_name(model(DEVICES))


def test_no_gpu_is_no_claim() -> None:
    without = model(asking(count=0))
    assert "ResourceClaimTemplate" not in [child["kind"] for child in desired(without, "")]
    assert "resourceClaims" not in pod_spec(without, "")
    assert without.spec.serving.effective_backend() == "python"
    assert model(DEVICES).spec.serving.effective_backend() == "onnxruntime"


@pytest.mark.parametrize(
    ("gpu", "words"),
    [
        ({"resource": "nvidia.com/mig-1g.10gb"}, "give either resource"),
        ({"count": 33}, "count of deviceClassName is at most 32"),
        ({"deviceClassName": ""}, "selectors choose among the devices of a DeviceClass"),
        ({"deviceClassName": "GPU"}, "must be the name of a DeviceClass"),
    ],
    ids=str,
)
def test_what_was_stored_before_the_crd_refused_it_names_its_field(gpu: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=rf"spec\.serving\.gpu.*{words}"):
        model(asking(**gpu))


def test_an_estimate_counts_devices_as_whole_gpus_and_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = {}
    for name, gpu in (("devices", DEVICES["serving"]["gpu"]), ("units", FULL["serving"]["gpu"])):
        document = {
            "apiVersion": "modelmeter.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": name},
            "spec": {"model": {"source": "hf://acme/intent"}, "serving": {"gpu": gpu}},
        }
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(document))
        assert main(["estimate", str(file), "--prices", str(PRICES)]) == 0
        said[name] = capsys.readouterr().out.splitlines()
    row = next(line for line in said["units"] if line.startswith("compute      gpu"))
    # 2 x 0.57176
    assert row.split()[2:] == ["2", "GPU-hour", "0.57176", "1.14352"]
    assert row in said["devices"]
    assert "each device of DeviceClass gpu.nvidia.com is counted as a whole GPU" in said["devices"][-1]
    assert not any("DeviceClass" in line for line in said["units"])
