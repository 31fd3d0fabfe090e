"""The Azure CLI against whatever the environment leads to. Each step is told in one line of JSON.

Commands are invoked as `az` invokes them, without its start for each.
"""

import importlib.metadata
import io
import json
import os
import sys
import tempfile

HOME = tempfile.mkdtemp()
os.environ.update(AZURE_CONFIG_DIR=os.path.join(HOME, "azure"), AZURE_CORE_COLLECT_TELEMETRY="0", AZURE_CORE_NO_COLOR="1",
                  AZURE_CORE_ONLY_SHOW_ERRORS="1", AZURE_CORE_LOGIN_EXPERIENCE_V2="0",
                  AZURE_BICEP_CHECK_VERSION="0")

from azure.cli.core import get_default_cli  # noqa: E402  the environment comes first

ENV = os.environ
TENANT, GROUP, CLUSTER, REGION = ENV["AZURE_TENANT_ID"], ENV["RESOURCE_GROUP"], ENV["CLUSTER_NAME"], ENV["LOCATION"]
VAULT = ENV["VAULT_URL"].removeprefix("https://").split(".")[0]
CLIENT = "azure-cli"


def tell(**line):
    print(json.dumps(line), flush=True)


class Failed(Exception):
    pass


def az(*arguments):
    """What a command prints, read as JSON; nothing where it prints nothing."""
    out, errors = io.StringIO(), io.StringIO()
    kept, sys.stderr = sys.stderr, errors
    cli = get_default_cli()
    try:
        code = cli.invoke([*arguments, "--output", "json"], out_file=out)
    except SystemExit as end:
        code = end.code
    finally:
        sys.stderr = kept
    if code:
        raise Failed(f"az {' '.join(arguments[:3])}: {cli.result.error if cli.result else code}: {errors.getvalue()[-2000:]}")
    return json.loads(out.getvalue()) if out.getvalue().strip() else None


def step(operation):
    def run(act):
        try:
            act()
            tell(client=CLIENT, operation=operation, result="ok")
        except Exception as error:  # whatever a client throws is what its user sees
            tell(client=CLIENT, operation=operation, result="failed", error=f"{type(error).__name__}: {error}")

    return run


def written(name, content):
    path = os.path.join(HOME, name)
    with open(path, "w") as file:
        json.dump(content, file)
    return path


tell(package=CLIENT, version=importlib.metadata.version(CLIENT))


@step("login with a federated token; account get-access-token; keyvault secret show")
def _():
    with open(ENV["AZURE_FEDERATED_TOKEN_FILE"]) as file:
        token = file.read()
    az("login", "--service-principal", "-u", ENV["WORKLOAD_CLIENT_ID"], "--federated-token", token, "--tenant", TENANT,
       "--allow-no-subscriptions")
    assert az("account", "get-access-token", "--resource", "https://vault.azure.net")["accessToken"]
    assert az("keyvault", "secret", "show", "--vault-name", VAULT, "-n", "testsecret")["value"] == "Hello!"
    az("logout")


@step("login with a client secret; account show, list-locations and get-access-token")
def _():
    az("login", "--service-principal", "-u", ENV["OPERATOR_CLIENT_ID"], "-p", ENV["OPERATOR_CLIENT_SECRET"],
       "--tenant", TENANT)
    assert az("account", "show")["id"] == ENV["AZURE_SUBSCRIPTION_ID"]
    assert any(one["name"] == REGION for one in az("account", "list-locations"))
    assert az("account", "get-access-token")["tenant"] == TENANT


@step("group create, show, exists, list, delete")
def _():
    az("group", "create", "-n", "cli-group", "-l", REGION, "--tags", "a=b")
    assert az("group", "show", "-n", "cli-group")["tags"] == {"a": "b"}
    assert any(one["name"] == "cli-group" for one in az("group", "list"))
    az("group", "delete", "-n", "cli-group", "--yes")
    assert az("group", "exists", "-n", "cli-group") is False


@step("aks show, list, update --enable-oidc-issuer --enable-workload-identity, nodepool list")
def _():
    assert az("aks", "show", "-g", GROUP, "-n", CLUSTER)["oidcIssuerProfile"]["issuerUrl"]
    updated = az("aks", "update", "-g", GROUP, "-n", CLUSTER, "--enable-oidc-issuer", "--enable-workload-identity")
    assert updated["securityProfile"]["workloadIdentity"]["enabled"] is True
    assert az("aks", "nodepool", "list", "-g", GROUP, "--cluster-name", CLUSTER)[0]["mode"] == "System"
    assert any(one["name"] == CLUSTER for one in az("aks", "list"))


@step("identity create, show, list, delete; identity federated-credential create, update, list, delete")
def _():
    az("identity", "create", "-g", GROUP, "-n", "cli-id")
    assert az("identity", "show", "-g", GROUP, "-n", "cli-id")["clientId"]
    trust = ["identity", "federated-credential"]
    of = ["-g", GROUP, "--identity-name", "cli-id"]
    az(*trust, "create", *of, "-n", "fic", "--issuer", "https://issuer.example/", "--subject", "system:serviceaccount:a:b",
       "--audiences", "api://AzureADTokenExchange")
    az(*trust, "update", *of, "-n", "fic", "--issuer", "https://issuer.example/", "--subject", "system:serviceaccount:a:c",
       "--audiences", "api://AzureADTokenExchange")
    assert az(*trust, "list", *of)[0]["subject"] == "system:serviceaccount:a:c"
    az(*trust, "delete", *of, "-n", "fic", "--yes")
    az("identity", "delete", "-g", GROUP, "-n", "cli-id")


@step("keyvault create, set-policy, show, list, delete, list-deleted, recover, delete, purge")
def _():
    az("keyvault", "create", "-g", GROUP, "-n", "cli-vault", "-l", REGION, "--enable-rbac-authorization", "false")
    identity = az("identity", "show", "-g", GROUP, "-n", ENV["WORKLOAD_NAME"])
    az("keyvault", "set-policy", "-n", "cli-vault", "--object-id", identity["principalId"], "--secret-permissions", "get", "list")
    shown = az("keyvault", "show", "-n", "cli-vault")
    assert any(one["objectId"] == identity["principalId"] for one in shown["properties"]["accessPolicies"])
    assert any(one["name"] == "cli-vault" for one in az("keyvault", "list", "-g", GROUP))
    az("keyvault", "delete", "-n", "cli-vault")
    assert any(one["name"] == "cli-vault" for one in az("keyvault", "list-deleted", "--resource-type", "vault"))
    az("keyvault", "recover", "-n", "cli-vault")
    az("keyvault", "delete", "-n", "cli-vault")
    az("keyvault", "purge", "-n", "cli-vault")


@step("keyvault secret set, show, list, delete, recover, delete, purge")
def _():
    of = ["--vault-name", VAULT]
    az("keyvault", "secret", "set", *of, "-n", "cli", "--value", "v1", "--tags", "a=b")
    assert az("keyvault", "secret", "show", *of, "-n", "cli")["value"] == "v1"
    assert any(one["name"] == "cli" for one in az("keyvault", "secret", "list", *of))
    az("keyvault", "secret", "delete", *of, "-n", "cli")
    az("keyvault", "secret", "recover", *of, "-n", "cli")
    az("keyvault", "secret", "delete", *of, "-n", "cli")
    az("keyvault", "secret", "purge", *of, "-n", "cli")


@step("keyvault key create, show, list, delete")
def _():
    of = ["--vault-name", VAULT]
    az("keyvault", "key", "create", *of, "-n", "cli", "--kty", "RSA", "--size", "2048")
    assert az("keyvault", "key", "show", *of, "-n", "cli")["key"]["kty"] == "RSA"
    assert any(one["name"] == "cli" for one in az("keyvault", "key", "list", *of))
    az("keyvault", "key", "delete", *of, "-n", "cli")


@step("keyvault certificate get-default-policy, create, show, list, download, delete")
def _():
    of = ["--vault-name", VAULT]
    policy = written("policy.json", az("keyvault", "certificate", "get-default-policy"))
    az("keyvault", "certificate", "create", *of, "-n", "cli-cert", "-p", f"@{policy}")
    assert az("keyvault", "certificate", "show", *of, "-n", "cli-cert")["x509ThumbprintHex"]
    assert any(one["name"] == "cli-cert" for one in az("keyvault", "certificate", "list", *of))
    az("keyvault", "certificate", "download", *of, "-n", "cli-cert", "-f", os.path.join(HOME, "cert.pem"))
    az("keyvault", "certificate", "delete", *of, "-n", "cli-cert")


@step("role assignment create, list, delete; role definition list")
def _():
    principal = az("identity", "show", "-g", GROUP, "-n", ENV["WORKLOAD_NAME"])["principalId"]
    scope = f"/subscriptions/{ENV['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{GROUP}"
    az("role", "assignment", "create", "--role", "Key Vault Secrets User", "--assignee-object-id", principal,
       "--assignee-principal-type", "ServicePrincipal", "--scope", scope)
    assert any(one["principalId"] == principal for one in az("role", "assignment", "list", "--scope", scope))
    az("role", "assignment", "delete", "--role", "Key Vault Secrets User", "--assignee", principal, "--scope", scope)
    assert az("role", "definition", "list", "--name", "Reader")[0]["roleName"] == "Reader"


@step("ad app create, ad sp create, ad app federated-credential create and list, ad app delete")
def _():
    made = az("ad", "app", "create", "--display-name", "cli app")
    az("ad", "sp", "create", "--id", made["appId"])
    trust = written("trust.json", {"name": "fic", "issuer": "https://issuer.example/", "subject": "a",
                                   "audiences": ["api://AzureADTokenExchange"]})
    az("ad", "app", "federated-credential", "create", "--id", made["appId"], "--parameters", f"@{trust}")
    assert len(az("ad", "app", "federated-credential", "list", "--id", made["appId"])) == 1
    az("ad", "app", "delete", "--id", made["appId"])


TEMPLATE = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "parameters": {"name": {"type": "string"},
                   "location": {"type": "string", "defaultValue": "[resourceGroup().location]"}},
    "resources": [
        {"type": "Microsoft.ManagedIdentity/userAssignedIdentities", "apiVersion": "2024-11-30",
         "name": "[parameters('name')]", "location": "[parameters('location')]"},
        {"type": "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
         "apiVersion": "2024-11-30", "name": "[format('{0}/{1}', parameters('name'), 'fic')]",
         "properties": {"issuer": "https://issuer.example/", "subject": "system:serviceaccount:a:b",
                        "audiences": ["api://AzureADTokenExchange"]},
         "dependsOn": ["[resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', parameters('name'))]"]},
    ],
    "outputs": {"clientId": {"type": "string", "value":
                             "[reference(resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', parameters('name'))).clientId]"}},
}


@step("deployment group validate, what-if, create, show, list; deployment operation group list; deployment group delete")
def _():
    template = written("template.json", TEMPLATE)
    of = ["-g", GROUP, "-n", "cli-deployment", "-f", template, "-p", "name=cli-deployed"]
    az("deployment", "group", "validate", *of)
    changes = az("deployment", "group", "what-if", *of, "--no-pretty-print")["changes"]
    assert [one["changeType"] for one in changes] == ["Create", "Create"], changes
    made = az("deployment", "group", "create", *of)
    assert made["properties"]["provisioningState"] == "Succeeded"
    identity = az("identity", "show", "-g", GROUP, "-n", "cli-deployed")
    assert made["properties"]["outputs"]["clientId"]["value"] == identity["clientId"]
    again = az("deployment", "group", "what-if", *of, "--no-pretty-print")["changes"]
    assert [one["changeType"] for one in again] == ["NoChange", "NoChange"], again
    of = ["-g", GROUP, "-n", "cli-deployment"]
    assert len(az("deployment", "operation", "group", "list", *of)) == 2
    assert any(one["name"] == "cli-deployment" for one in az("deployment", "group", "list", "-g", GROUP))
    az("deployment", "group", "delete", *of)


@step("deployment sub create with a resource group; a type that is not served is told as such")
def _():
    group = {"type": "Microsoft.Resources/resourceGroups", "apiVersion": "2024-11-01", "name": "cli-made",
             "location": "[deployment().location]"}
    template = {**TEMPLATE, "parameters": {}, "outputs": {}, "resources": [group]}
    az("deployment", "sub", "create", "-l", REGION, "-n", "cli-sub", "-f", written("group.json", template))
    assert az("group", "exists", "-n", "cli-made") is True
    template["resources"] = [{"type": "Microsoft.Web/sites", "apiVersion": "2024-04-01", "name": "a", "location": REGION}]
    try:
        az("deployment", "group", "create", "-g", GROUP, "-f", written("site.json", template))
    except Failed as error:
        assert "the emulator does not serve" in str(error), str(error)
    else:
        raise AssertionError("expected a refusal")
