"""What Docker, Kubernetes, GitHub, systemd and EC2 are given, against their schemas. Nothing of it is started here."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from botocore.session import Session
from botocore.validate import ParamValidator

from app.config import Settings
from tests.deploy.prometheus import program
from tests.server import ROOT

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
KUSTOMIZATION = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text(encoding="utf-8"))
SETTINGS = {name.upper() for name in Settings.model_fields}


def tool(name: str) -> str:
    """Return the path of a program that a Python package brings."""
    return str(Path(sys.executable).with_name(name))


def manifest(name: str) -> dict[str, Any]:
    """Return the one resource that a file of deploy/kubernetes has."""
    (resource,) = yaml.safe_load_all((KUBERNETES / name).read_text(encoding="utf-8"))
    return dict(resource)


@pytest.mark.parametrize("name", KUSTOMIZATION["resources"])
def test_kubernetes_takes_each_resource(name: str) -> None:
    kubernetes_validate.validate(manifest(name), "1.37", strict=True)


def test_the_kustomization_holds_all_and_its_parts_find_one_another() -> None:
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml", "adapter.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files
    deployment = manifest("deployment.yaml")
    pod = deployment["spec"]["template"]
    labels, (container,) = pod["metadata"]["labels"].items(), pod["spec"]["containers"]
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        manifest("service.yaml")["spec"]["selector"],
        manifest("disruption.yaml")["spec"]["selector"]["matchLabels"],
        manifest("network.yaml")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector
        assert selector.items() <= labels
    assert manifest("autoscaler.yaml")["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    (generated,) = KUSTOMIZATION["configMapGenerator"]
    assert container["envFrom"] == [{"configMapRef": {"name": generated["name"]}}]
    Settings(**{name.lower(): value for name, value in (pair.split("=", 1) for pair in generated["literals"])})
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert volumes["weights"]["persistentVolumeClaim"]["claimName"] == manifest("volume.yaml")["metadata"]["name"]
    assert volumes.keys() == {mount["name"] for mount in container["volumeMounts"]}
    assert {image["name"] for image in KUSTOMIZATION["images"]} == {container["image"]}
    (port,) = container["ports"]
    assert {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        port["name"]
    }
    assert pod["spec"]["terminationGracePeriodSeconds"] > Settings().shutdown_grace + 5


def test_the_autoscaler_goes_by_a_metric_that_there_is() -> None:
    (metric,) = manifest("autoscaler.yaml")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    (rule,) = yaml.safe_load((KUBERNETES / "adapter.yaml").read_text(encoding="utf-8"))["rules"]["custom"]
    assert rule["seriesQuery"].startswith(name + "{")
    assert f'GaugeMetricFamily("{name}"' in (ROOT / "app" / "api" / "metrics.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("vendor.compose-spec", "compose.yaml"),
        ("vendor.github-workflows", ".github/workflows/ci.yml"),
        ("vendor.github-workflows", ".github/workflows/release.yml"),
    ],
)
def test_compose_and_github_take_their_files(schema: str, path: str) -> None:
    checked = subprocess.run(
        [tool("check-jsonschema"), "--builtin-schema", schema, path], cwd=ROOT, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout


def test_what_compose_mounts_is_there() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    mounts = [volume.split(":")[0] for service in services.values() for volume in service["volumes"]]
    here = [path for path in mounts if path.startswith("./")]
    assert len(here) == 4
    for path in here:
        assert (ROOT / path).exists(), path
    for name in ("image-to-text", "gpu"):
        assert services[name]["read_only"], name
        assert services[name]["cap_drop"] == ["ALL"], name


def test_the_dockerfile_has_no_known_fault_and_no_root() -> None:
    linted = subprocess.run([tool("hadolint"), "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for line in copied for name in line.split()} == set(allowed)


def test_systemd_takes_the_unit_and_finds_it_well_locked_in() -> None:
    unit = DEPLOY / "systemd" / "image-to-text.service"
    verified = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    # What it starts is not installed here.
    complaints = [line for line in verified.stderr.splitlines() if "is not executable" not in line]
    assert complaints == []
    judged = subprocess.run(
        [program("systemd-analyze"), "security", "--offline=true", "--threshold=30", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout[-300:]


def test_ec2_takes_the_machine() -> None:
    machine = json.loads((DEPLOY / "ec2" / "machine.json").read_text(encoding="utf-8"))
    shape = Session().get_service_model("ec2").operation_model("RunInstances").input_shape
    report = ParamValidator().validate(machine, shape)
    assert not report.has_errors(), report.generate_report()
