"""Runs the Python client against the cluster of a kubeconfig, and says for each operation what came of it.

Each line of standard output is a JSON object: client, version, operation, and error where it failed.
"""

import datetime
import importlib.metadata
import json
import sys
import time

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward, stream

NAMESPACE = "python-client"
PATIENCE = 30


def expect(holds, what):
    if not holds:
        raise AssertionError(what)


def eventually(what, done):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if done():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {PATIENCE} s")


def refused(status, call):
    try:
        call()
    except ApiException as error:
        expect(error.status == status, f"expected {status}, found {error.status}: {error.body}")
        return json.loads(error.body)
    raise AssertionError(f"expected {status}, found success")


def prepare(core):
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    names = lambda: [account.metadata.name for account in core.list_namespaced_service_account(NAMESPACE).items]
    eventually("the default account", lambda: "default" in names())


def objects(core):
    held = core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "m"}, "data": {"a": "1"}})
    held.data["a"] = "2"
    core.replace_namespaced_config_map("m", NAMESPACE, held)
    held.data["a"] = "3"
    body = refused(409, lambda: core.replace_namespaced_config_map("m", NAMESPACE, held))
    expect(body["reason"] == "Conflict", body)
    patched = core.patch_namespaced_config_map("m", NAMESPACE, {"data": {"b": "1"}})
    expect(patched.data == {"a": "2", "b": "1"}, patched.data)
    core.delete_namespaced_config_map("m", NAMESPACE)
    refused(404, lambda: core.read_namespaced_config_map("m", NAMESPACE))
    refused(422, lambda: core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "Not a name"}}))


def watches(core):
    seen = []
    version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "w"}})
    core.delete_namespaced_config_map("w", NAMESPACE)
    follow = watch.Watch()
    for event in follow.stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=version, timeout_seconds=PATIENCE
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 2:
            follow.stop()
    expect(seen == [("ADDED", "w"), ("DELETED", "w")], seen)


def pages(core):
    for number in range(5):
        core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": f"s{number}", "labels": {"of": "pages"}}})
    found, following = 0, None
    while True:
        page = core.list_namespaced_secret(NAMESPACE, label_selector="of=pages", limit=2, _continue=following)
        found += len(page.items)
        following = page.metadata._continue
        if not following:
            break
    expect(found == 5, found)
    core.delete_collection_namespaced_secret(NAMESPACE, label_selector="of=pages")


def tokens(core):
    request = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=["api://AzureADTokenExchange"], expiration_seconds=3600)
    )
    answer = core.create_namespaced_service_account_token("default", NAMESPACE, request)
    left = answer.status.expiration_timestamp - datetime.datetime.now(datetime.timezone.utc)
    expect(answer.status.token.count(".") == 2 and 3000 < left.total_seconds() < 3700, left)


def pods(core):
    container = {"name": "c", "image": "quickstart/pause"}
    core.create_namespaced_pod(NAMESPACE, {"metadata": {"name": "p"}, "spec": {"containers": [container]}})
    running = lambda: core.read_namespaced_pod("p", NAMESPACE).status.phase == "Running"
    eventually("a running pod", running)
    asked = stream(
        core.connect_get_namespaced_pod_exec, "p", NAMESPACE, command=["sh", "-c", "read x; echo got:$x; echo e >&2; exit 3"],
        stdin=True, stdout=True, stderr=True, tty=False, _preload_content=False,
    )
    asked.write_stdin("hello\n")
    asked.run_forever(timeout=PATIENCE)
    out, err = asked.read_stdout(), asked.read_stderr()
    expect((out, err, asked.returncode) == ("got:hello\n", "e\n", 3), (out, err, asked.returncode))
    forward = portforward(core.connect_get_namespaced_pod_portforward, "p", NAMESPACE, ports="81")
    forward.socket(81).settimeout(PATIENCE)
    expect(forward.socket(81).recv(1) == b"", "a connection to a port where nobody listens")
    eventually("what is wrong with the port", lambda: "connection refused" in (forward.error(81) or ""))
    deleted = core.delete_namespaced_pod("p", NAMESPACE, grace_period_seconds=1)
    expect(deleted.metadata.name == "p", deleted)


def dynamically(core):
    api = dynamic.DynamicClient(core.api_client).resources.get(api_version="apps/v1", kind="Deployment")
    labels = {"app": "d"}
    wanted = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "quickstart/pause"}]}},
        },
    }
    api.server_side_apply(body=wanted, name="d", namespace=NAMESPACE, field_manager="python")
    eventually("an available deployment", lambda: api.get("d", NAMESPACE).status.availableReplicas == 1)
    wanted["spec"]["replicas"] = 2
    try:
        api.server_side_apply(body=wanted, name="d", namespace=NAMESPACE, field_manager="another")
        raise AssertionError("no conflict")
    except dynamic.exceptions.ConflictError as error:
        expect('conflict with \\"python\\"' in str(error.body), error.body)
    api.delete("d", NAMESPACE, body={"propagationPolicy": "Foreground"})


def main():
    config.load_kube_config()
    core = client.CoreV1Api()
    failed = False
    for operation, run in [
        ("create a namespace, and wait for its default account", prepare),
        ("create, replace, conflict, patch, delete, not found, invalid", objects),
        ("watch from a resource version", watches),
        ("list with limit and continue, delete a collection", pages),
        ("TokenRequest", tokens),
        ("a pod: run, exec with input and exit code, port-forward refused, delete", pods),
        ("dynamic: server-side apply, conflict, delete in the foreground", dynamically),
    ]:
        line = {"client": "kubernetes (Python)", "version": importlib.metadata.version("kubernetes"), "operation": operation}
        try:
            run(core)
        except Exception as error:  # Whatever it is, it is what is told.
            line["error"] = f"{type(error).__name__}: {error}"
            failed = True
        print(json.dumps(line), flush=True)
    core.delete_namespace(NAMESPACE)
    sys.exit(1 if failed else 0)


main()
