"""Kubernetes: manifests to print. A Job runs agents once, KEDA's ScaledJob by demand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from workers.agent.fleet.engine import AgentStart
from workers.agent.secrecy import FLEET_VARIABLE
from workers.protocol import API_PREFIX, FLEET_DEMAND_PATH

# Key of the token inside its Secret.
SECRET_KEY: Final = "token"  # noqa: S105 (a name, not a secret)
# What a pod gets between SIGTERM and SIGKILL: the agent gives its tasks back within a second.
_GRACE_SECONDS: Final = 30
_POLL_SECONDS: Final = 30
_KEPT_JOBS: Final = 5
_USER: Final = 10001  # of the worker's image

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """What each pod is: one agent in a container of ``image``."""

    name: str
    image: str
    secret: str  # the Secret with the fleet token
    cpus: float
    memory_mib: int
    gpus: int = 0
    namespace: str = ""

    def metadata(self) -> Manifest:
        """Return the name, and the namespace if there is one."""
        labels = {
            "app.kubernetes.io/name": "xeenet-worker",
            "app.kubernetes.io/instance": self.name,
        }
        place = {"namespace": self.namespace} if self.namespace else {}
        return {"name": self.name, **place, "labels": labels}


def job(pod: Pod, start: AgentStart, count: int) -> Manifest:
    """Return a Job of so many pods."""
    spec = {"parallelism": count, "completions": count, **_job_spec(pod, start)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": pod.metadata(), "spec": spec}


def trigger_authentication(pod: Pod) -> Manifest:
    """Return how KEDA gets the fleet token: from the Secret, as a bearer token."""
    reference = {"parameter": "token", "name": pod.secret, "key": SECRET_KEY}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": pod.metadata(),
        "spec": {"secretTargetRef": [reference]},
    }


def scaled_job(pod: Pod, start: AgentStart, most: int, value_location: str) -> Manifest:
    """Return KEDA's ScaledJob: it starts jobs until as many run as the server wants workers.

    ``value_location`` is the place of that number in the demand. KEDA's default strategy takes the
    jobs that run and wait off it, so a worker of another engine is not counted.
    """
    trigger = {
        "type": "metrics-api",
        "metadata": {
            "url": f"{start.server}{API_PREFIX}{FLEET_DEMAND_PATH}",
            "format": "json",
            "valueLocation": value_location,
            "targetValue": "1",
            "authMode": "bearer",
        },
        "authenticationRef": {"name": pod.name},
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledJob",
        "metadata": pod.metadata(),
        "spec": {
            "jobTargetRef": {"parallelism": 1, "completions": 1, **_job_spec(pod, start)},
            "pollingInterval": _POLL_SECONDS,
            "successfulJobsHistoryLimit": _KEPT_JOBS,
            "failedJobsHistoryLimit": _KEPT_JOBS,
            "minReplicaCount": 0,
            "maxReplicaCount": most,
            "scalingStrategy": {"strategy": "default"},
            "triggers": [trigger],
        },
    }


def value_location(device: str) -> str:
    """Return where the demand has the number of workers wanted, as a GJSON path.

    A device of which nothing waits has no need in the demand: the path then ends in its literal 0.
    """
    if not device:
        return "wanted_workers"
    return f'[needs.#(device=="{device}").wanted_workers,!0].0'


def as_yaml(manifests: Sequence[Manifest]) -> str:
    """Return the manifests as one YAML stream."""
    return "".join("---\n" + "".join(f"{line}\n" for line in _lines(each)) for each in manifests)


def _job_spec(pod: Pod, start: AgentStart) -> Manifest:
    amounts: dict[str, str] = {"cpu": f"{pod.cpus:g}", "memory": f"{pod.memory_mib}Mi"}
    limits = {**amounts, "nvidia.com/gpu": str(pod.gpus)} if pod.gpus else amounts
    token = {"secretKeyRef": {"name": pod.secret, "key": SECRET_KEY}}
    node = {"fieldRef": {"fieldPath": "spec.nodeName"}}
    container: Manifest = {
        "name": "worker",
        "image": pod.image,
        "command": list(start.program),
        "args": start.words()[len(start.program) :],
        "env": [
            {"name": FLEET_VARIABLE, "valueFrom": token},
            {"name": "XEENET_MACHINE_KEY", "valueFrom": node},
        ],
        "resources": {"requests": amounts, "limits": limits},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "state", "mountPath": "/tmp"}],  # noqa: S108 (in the pod)
    }
    template: Manifest = {
        "metadata": {"labels": pod.metadata()["labels"]},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": _GRACE_SECONDS,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "fsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "state", "emptyDir": {}}],
        },
    }
    # An agent that cannot work must not be started again and again.
    return {"backoffLimit": 0, "ttlSecondsAfterFinished": 3600, "template": template}


def _lines(value: Mapping[str, Any] | Sequence[Any]) -> Iterator[str]:
    """Yield the lines of a mapping or list in YAML's block style; scalars are written as JSON."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, Mapping | list) and inner:
                yield f"{key}:"
                yield from (f"  {line}" for line in _lines(inner))
            else:
                yield f"{key}: {json.dumps(inner)}"
        return
    for inner in value:
        if isinstance(inner, Mapping) and inner:
            first, *rest = _lines(inner)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
        else:
            yield f"- {json.dumps(inner)}"
