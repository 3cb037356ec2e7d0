"""What an operator may rely on, whatever the values: who runs as what, who may do what, who reaches whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.helm.chart import (
    EXAMPLES,
    NAME,
    SMALL,
    Manifest,
    containers,
    example,
    kinds,
    merged,
    named,
    objects,
    pods,
)

EVERYTHING = merged(
    example("production"),
    {
        "weights": {"names": ["sam2.1-large"], "folder": {"claim": "brought", "names": ["casper-wan-1.3b"]}},
        "tracing": {"endpoint": "http://collector.monitoring:4318"},
        "orchestrator": {
            "settings": {"files": {"port": 8020}, "access": {"jwt": {"issuer": "i", "audience": "a"}}},
            "jwtKeys": {"secret": "keys"},
        },
        "tls": {"clientCa": {"secret": "clients"}},
    },
)
CASES = {name: example(name) for name in EXAMPLES} | {"least": SMALL, "everything": EVERYTHING}
RENDERED = {name: objects(values) for name, values in CASES.items()}
STAYING = ("Deployment", "StatefulSet")


@pytest.fixture(params=RENDERED, name="case")
def _case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(name="manifests")
def _manifests(case: str) -> list[Manifest]:
    return RENDERED[case]


def each_container(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for whose, pod in pods(manifests):
        for one in containers(pod):
            yield f"{whose}/{one['name']}", one


def test_no_pod_is_root_or_can_become_it(manifests: list[Manifest]) -> None:
    for whose, pod in pods(manifests):
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] > 0, whose
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, whose
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod["spec"]), whose
    for whose, container in each_container(manifests):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }, whose


def test_every_container_has_requests_and_limits(manifests: list[Manifest]) -> None:
    for whose, container in each_container(manifests):
        for kind in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][kind]), whose
        gpus = [
            {name: count for name, count in container["resources"][kind].items() if "/" in name}
            for kind in ("requests", "limits")
        ]
        assert gpus[0] == gpus[1], whose


def test_what_stays_has_three_probes_that_differ(manifests: list[Manifest]) -> None:
    for owner in kinds(manifests, *STAYING):
        for container in owner["spec"]["template"]["spec"]["containers"]:
            startup, ready, live = (container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness"))
            assert len({repr(sorted(probe.items())) for probe in (startup, ready, live)}) == 3
            what = [{key: value for key, value in probe.items() if key in HANDLERS} for probe in (startup, ready, live)]
            assert what[1] != what[2], "a pod that is busy would be ended"

            def patience(probe: Manifest) -> int:
                return int(probe["periodSeconds"] * probe["failureThreshold"])

            assert patience(ready) < patience(live) <= patience(startup)
            assert all(probe["timeoutSeconds"] <= probe["periodSeconds"] for probe in (startup, ready, live))


HANDLERS = ("httpGet", "tcpSocket", "grpc", "exec")


def test_a_model_pod_is_asked_for_its_own_model() -> None:
    triton = named(RENDERED["least"], "Deployment", "casper")["spec"]["template"]["spec"]["containers"][0]
    assert triton["readinessProbe"]["httpGet"]["path"] == "/v2/models/casper/ready"
    assert triton["livenessProbe"]["exec"]["command"][-1] == "/scripts/alive.py"
    together = named(RENDERED["laptop"], "Deployment", "all")["spec"]["template"]["spec"]["containers"][0]
    assert together["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"


def test_only_an_orchestrator_that_makes_jobs_has_a_token(case: str, manifests: list[Manifest]) -> None:
    with_token = {whose for whose, pod in pods(manifests) if pod["spec"]["automountServiceAccountToken"]}
    makes_jobs = case in ("production", "everything")
    assert with_token == ({f"StatefulSet/{NAME}-orchestrator"} if makes_jobs else set())
    assert all(not one["automountServiceAccountToken"] for one in kinds(manifests, "ServiceAccount"))
    accounts = {one["metadata"]["name"] for one in kinds(manifests, "ServiceAccount")}
    assert {pod["spec"]["serviceAccountName"] for _, pod in pods(manifests)} <= accounts


def test_rights_are_for_jobs_in_one_namespace_and_no_more(case: str, manifests: list[Manifest]) -> None:
    assert kinds(manifests, "ClusterRole", "ClusterRoleBinding") == []
    if case not in ("production", "everything"):
        assert kinds(manifests, "Role", "RoleBinding") == []
        return
    (role,) = kinds(manifests, "Role")
    assert role["rules"] == [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get", "list", "watch", "delete"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
    ]
    assert "*" not in repr(role["rules"])
    (binding,) = kinds(manifests, "RoleBinding")
    assert [one["name"] for one in binding["subjects"]] == [f"{NAME}-orchestrator"]


def test_every_selector_finds_its_own_pods_and_no_others(manifests: list[Manifest]) -> None:
    labels = {whose: pod["metadata"]["labels"] for whose, pod in pods(manifests)}

    def found(selector: dict[str, str]) -> set[str]:
        return {whose for whose, have in labels.items() if selector.items() <= have.items()}

    for owner in kinds(manifests, *STAYING):
        whose = f"{owner['kind']}/{owner['metadata']['name']}"
        assert found(owner["spec"]["selector"]["matchLabels"]) == {whose}
        for spread in owner["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            assert found(spread["labelSelector"]["matchLabels"]) == {whose}
    for service in kinds(manifests, "Service"):
        assert len(found(service["spec"]["selector"])) == 1
    for budget in kinds(manifests, "PodDisruptionBudget"):
        assert len(found(budget["spec"]["selector"]["matchLabels"])) == 1
        assert budget["spec"]["maxUnavailable"] >= 1, "a node could never be drained"


def test_every_service_leads_to_ports_that_are_there(manifests: list[Manifest]) -> None:
    for service in kinds(manifests, "Service"):
        wanted = service["spec"]["selector"].items()
        (pod,) = (pod for _, pod in pods(manifests) if wanted <= pod["metadata"]["labels"].items())
        there = {port["name"] for one in containers(pod) for port in one.get("ports", [])}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= there


def test_every_group_and_the_orchestrators_have_a_disruption_budget(manifests: list[Manifest]) -> None:
    budgets = {one["metadata"]["name"] for one in kinds(manifests, "PodDisruptionBudget")}
    assert budgets == {one["metadata"]["name"] for one in kinds(manifests, *STAYING)} - {f"{NAME}-postgres"}


def test_every_image_says_which_it_is(manifests: list[Manifest]) -> None:
    for whose, container in each_container(manifests):
        name, _, tag = container["image"].rpartition("/")[2].partition(":")
        assert name and tag and tag != "latest", whose


def test_an_air_gapped_cluster_pulls_from_its_own_registry() -> None:
    for whose, container in each_container(RENDERED["air-gapped"]):
        assert container["image"].startswith("registry.internal:5000/omnimatte/"), whose
    for whose, pod in pods(RENDERED["air-gapped"]):
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry-internal"}], whose


def test_what_is_written_has_a_place_and_a_size(manifests: list[Manifest]) -> None:
    for whose, pod in pods(manifests):
        volumes = {one["name"]: one for one in pod["spec"].get("volumes", [])}
        own = [one for one in manifests if f"{one['kind']}/{one['metadata']['name']}" == whose]
        templates = {
            claim["metadata"]["name"] for owner in own for claim in owner["spec"].get("volumeClaimTemplates", [])
        }
        mounts = [mount for one in containers(pod) for mount in one.get("volumeMounts", [])]
        assert {mount["name"] for mount in mounts} == set(volumes) | templates, whose
        assert "/tmp" in {mount["mountPath"] for mount in mounts} or pod.get("kind") == "Pod", whose
        assert all(one["emptyDir"].get("sizeLimit") for one in volumes.values() if "emptyDir" in one), whose
        for one in containers(pod):
            paths = [mount["mountPath"] for mount in one.get("volumeMounts", [])]
            assert len(paths) == len(set(paths)), whose
            # The runtime cannot make a folder in a volume that is read-only.
            assert not [path for path in paths for other in paths if path != other and path.startswith(f"{other}/")]


def test_stages_have_shared_memory_of_a_known_size(manifests: list[Manifest]) -> None:
    for whose, pod in pods(manifests):
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        shared = [one for one in pod["spec"].get("volumes", []) if one["name"] == "shm"]
        assert bool(shared) == (component in ("model", "worker", "engines", "postgres")), whose
        assert all(one["emptyDir"]["medium"] == "Memory" for one in shared), whose


def test_computing_pods_cannot_write_weights(manifests: list[Manifest]) -> None:
    for whose, pod in pods(manifests):
        writers = {
            one["name"]
            for one in containers(pod)
            for mount in one.get("volumeMounts", [])
            if mount["name"] == "weights" and not mount.get("readOnly")
        }
        assert bool(writers) == (pod["metadata"]["labels"]["app.kubernetes.io/component"] == "weights"), whose


def test_a_pod_has_time_to_end_what_it_does(manifests: list[Manifest]) -> None:
    for owner in kinds(manifests, *STAYING):
        spec = owner["spec"]["template"]["spec"]
        for container in spec["containers"]:
            settle = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            flags = [one for one in container.get("command", []) if one.startswith("--exit-timeout-secs=")]
            drain = int(flags[0].partition("=")[2]) if flags else 15
            assert spec["terminationGracePeriodSeconds"] >= settle + drain, owner["metadata"]["name"]


def test_secrets_are_named_and_never_written_down(manifests: list[Manifest]) -> None:
    assert kinds(manifests, "Secret") == []
    for whose, container in each_container(manifests):
        for variable in container.get("env", []):
            if any(word in variable["name"] for word in ("PASSWORD", "SECRET", "TOKEN", "ACCESS_KEY")):
                assert "secretKeyRef" in variable["valueFrom"], whose
    for config in kinds(manifests, "ConfigMap"):
        assert "postgresql" not in config["data"].get("serve.yaml", "")


def test_everything_is_in_the_release_s_namespace_and_has_its_labels(manifests: list[Manifest]) -> None:
    for one in manifests:
        whose = f"{one['kind']}/{one['metadata']['name']}"
        assert one["metadata"].get("namespace") == (None if one["kind"] == "PriorityClass" else "video"), whose
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "demo", whose
        assert labels["app.kubernetes.io/part-of"] == "omnimatte", whose


def test_gpus_are_asked_for_by_the_name_that_the_group_says() -> None:
    limits = {
        one["metadata"]["labels"]["omnimatte.dev/group"]: {
            name
            for name in one["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
            if name.startswith("nvidia")
        }
        for one in kinds(RENDERED["production"], "Deployment")
    }
    assert limits["casper"] == {"nvidia.com/gpu"}
    assert limits["ssr"] == {"nvidia.com/mig-1g.10gb"}
    assert limits["ingest"] == set()
    casper = named(RENDERED["production"], "Deployment", "casper")["spec"]["template"]["spec"]
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in casper["tolerations"]


# Who reaches whom. A line for each opening: pods, direction, peers, ports.
Opening = tuple[str, str, str, str]

DNS: Opening = ("all", "to", "ns kube-system", "53 53")
OPENINGS_OF_ALL: set[Opening] = {
    DNS,
    ("orchestrator", "to", "model", "8001 8002"),
    ("orchestrator", "from", "ns monitoring", "8010"),
    ("orchestrator", "from", "test", "8000"),
    ("model", "from", "orchestrator", "8001 8002"),
    ("model", "from", "ns monitoring", "8002"),
    ("model", "from", "test", "8000"),
    ("test", "to", "orchestrator, model", "8000"),
}
CLIENTS: Opening = ("orchestrator", "from", "anybody here", "8000")
PRIVATE = "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16"
STORING = "model|orchestrator|worker"
OPENINGS: dict[str, set[Opening]] = {
    "laptop": {CLIENTS},
    "least": {CLIENTS, ("orchestrator", "to", PRIVATE, "5432")},
    "one-gpu": {
        CLIENTS,
        ("orchestrator", "to", "postgres", "5432"),
        ("postgres", "from", "orchestrator", "5432"),
        ("weights/hub", "to", "0.0.0.0/0", "443"),
    },
    "air-gapped": {
        CLIENTS,
        ("orchestrator", "to", "10.20.0.0/24", "5432"),
        (STORING, "to", "10.30.0.0/24", "9000"),
    },
    "production": {
        ("orchestrator", "from", "anybody here, 0.0.0.0/0", "8000"),
        ("orchestrator", "to", "10.20.0.0/24", "5432"),
        ("orchestrator", "to", "10.0.0.1/32", "443 6443"),
        (STORING, "to", "0.0.0.0/0 without 10.0.0.0/8 169.254.0.0/16", "443"),
    },
    "everything": {
        ("orchestrator", "from", "anybody here, 0.0.0.0/0", "8000 8020"),
        ("orchestrator", "to", "10.20.0.0/24", "5432"),
        ("orchestrator", "to", "10.0.0.1/32", "443 6443"),
        (STORING, "to", "0.0.0.0/0 without 10.0.0.0/8 169.254.0.0/16", "443"),
        (STORING, "to", "ns any", "4318"),
        ("weights/hub", "to", "0.0.0.0/0", "443"),
    },
}


def _who(selector: dict[str, Any]) -> str:
    labels = selector.get("matchLabels", {})
    if not labels:
        return "anybody here"
    assert labels["app.kubernetes.io/instance"] == "demo"
    listed = [one["values"] for one in selector.get("matchExpressions", [])]
    component = labels.get("app.kubernetes.io/component", "all")
    group = labels.get("omnimatte.dev/group")
    return "|".join(sorted(listed[0])) if listed else component + (f"/{group}" if group else "")


def _peer(peer: dict[str, Any]) -> str:
    if "ipBlock" in peer:
        without = " ".join(peer["ipBlock"].get("except", []))
        return str(peer["ipBlock"]["cidr"]) + (f" without {without}" if without else "")
    if "namespaceSelector" in peer:
        labels = peer["namespaceSelector"].get("matchLabels", {})
        return f"ns {labels.get('kubernetes.io/metadata.name', 'any')}"
    return _who(peer["podSelector"])


def openings(manifests: list[Manifest]) -> set[Opening]:
    found: set[Opening] = set()
    for policy in kinds(manifests, "NetworkPolicy"):
        spec = policy["spec"]
        for direction, rules, peers in (("from", "ingress", "from"), ("to", "egress", "to")):
            for rule in spec.get(rules, []):
                assert rule.get(peers) and rule.get("ports"), "no peers or no ports would be all of them"
                assert rules.capitalize() in spec["policyTypes"]
                whom = ", ".join(map(_peer, rule[peers]))
                ports = " ".join(str(port["port"]) for port in rule["ports"])
                found.add((_who(spec["podSelector"]), direction, whom, ports))
    return found


def test_the_network_has_exactly_these_openings(case: str, manifests: list[Manifest]) -> None:
    assert openings(manifests) == OPENINGS_OF_ALL | OPENINGS[case]


def test_what_no_policy_opens_is_closed(manifests: list[Manifest]) -> None:
    deny = named(manifests, "NetworkPolicy", "deny")["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"] and not {"ingress", "egress"} & set(deny)
    for whose, pod in pods(manifests):
        assert deny["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items(), whose


def test_an_air_gapped_release_has_no_way_out() -> None:
    outside = {peer for _, way, peer, _ in openings(RENDERED["air-gapped"]) if way == "to"}
    assert not any("0.0.0.0/0" in peer for peer in outside)
