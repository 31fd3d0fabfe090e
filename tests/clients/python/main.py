"""Azure's SDK for Python against whatever the environment leads to. Each step is told in one line of JSON."""

import asyncio
import base64
import datetime
import hashlib
import importlib.metadata
import json
import os
import uuid

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential, WorkloadIdentityCredential
from azure.keyvault.certificates import (CertificateClient, CertificateContentType, CertificatePolicy, KeyType,
                                         WellKnownIssuerNames)
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm, SignatureAlgorithm
from azure.keyvault.secrets import SecretClient
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.resource.resources import ResourceManagementClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

ENV = os.environ
TENANT, SUBSCRIPTION, GROUP = ENV["AZURE_TENANT_ID"], ENV["AZURE_SUBSCRIPTION_ID"], ENV["RESOURCE_GROUP"]
VAULT, REGION, CLUSTER = ENV["VAULT_URL"], ENV["LOCATION"], ENV["CLUSTER_NAME"]


def tell(**line):
    print(json.dumps(line), flush=True)


def step(client, operation):
    def run(act):
        try:
            act()
            tell(client=client, operation=operation, result="ok")
        except Exception as error:  # whatever a client throws is what its user sees
            tell(client=client, operation=operation, result="failed", error=f"{type(error).__name__}: {error}")

    return run


def refused(act, status):
    try:
        act()
    except HttpResponseError as error:
        assert error.status_code == status, f"expected HTTP {status}, found {error.status_code}"
        return error
    raise AssertionError(f"expected HTTP {status}, found success")


for distribution in ["azure-identity", "azure-keyvault-secrets", "azure-keyvault-keys",
                     "azure-keyvault-certificates", "azure-mgmt-msi", "azure-mgmt-keyvault", "azure-mgmt-authorization", "azure-mgmt-containerservice",
                     "azure-mgmt-resource", "msgraph-sdk"]:
    tell(package=distribution, version=importlib.metadata.version(distribution))

operator = ClientSecretCredential(TENANT, ENV["OPERATOR_CLIENT_ID"], ENV["OPERATOR_CLIENT_SECRET"])
workload = WorkloadIdentityCredential(
    tenant_id=TENANT, client_id=ENV["WORKLOAD_CLIENT_ID"], token_file_path=ENV["AZURE_FEDERATED_TOKEN_FILE"]
)

for resource in ["https://vault.azure.net", "https://management.azure.com", "https://graph.microsoft.com"]:
    step("azure-identity", f"token by workload identity for {resource}")(lambda: workload.get_token(f"{resource}/.default"))
    step("azure-identity", f"token by client secret for {resource}")(lambda: operator.get_token(f"{resource}/.default"))


@step("azure-identity", "a refusal reaches the caller with its AADSTS code")
def _():
    try:
        workload.get_token("https://nowhere.example/.default")
    except ClientAuthenticationError as error:
        assert "AADSTS500011" in str(error), str(error)
    else:
        raise AssertionError("expected a refusal")


reader, writer = SecretClient(VAULT, workload), SecretClient(VAULT, operator)


@step("azure-keyvault-secrets", "get, as the workload")
def _():
    assert reader.get_secret("testsecret").value == "Hello!"


@step("azure-keyvault-secrets", "set, refused to the workload")
def _():
    refused(lambda: reader.set_secret("other", "v"), 403)


@step("azure-keyvault-secrets", "set, get a version, update, list, list versions")
def _():
    made = writer.set_secret("python", "v1", content_type="text/plain", tags={"a": "b"})
    assert writer.get_secret("python", made.properties.version).value == "v1"
    writer.update_secret_properties("python", tags={"c": "d"})
    assert any(one.name == "python" for one in writer.list_properties_of_secrets())
    assert len(list(writer.list_properties_of_secret_versions("python"))) == 1


@step("azure-keyvault-secrets", "back up, delete, recover, delete, purge, restore")
def _():
    kept = writer.backup_secret("python")
    writer.begin_delete_secret("python").wait()
    writer.begin_recover_deleted_secret("python").wait()
    writer.begin_delete_secret("python").wait()
    writer.purge_deleted_secret("python")
    writer.restore_secret_backup(kept)


@step("azure-keyvault-secrets", "a missing secret is a 404")
def _():
    refused(lambda: writer.get_secret("missing"), 404)


keys = KeyClient(VAULT, operator)


@step("azure-keyvault-keys", "get, refused to a workload with rights on secrets alone")
def _():
    refused(lambda: KeyClient(VAULT, workload).get_key("python-rsa"), 403)


@step("azure-keyvault-keys", "create RSA and EC, get, update, list, list versions")
def _():
    keys.create_rsa_key("python-rsa", size=2048)
    keys.create_ec_key("python-ec", curve="P-256")
    assert keys.get_key("python-rsa").key_type == "RSA"
    keys.update_key_properties("python-rsa", tags={"a": "b"})
    assert len(list(keys.list_properties_of_keys())) >= 2
    assert len(list(keys.list_properties_of_key_versions("python-rsa"))) == 1


DIGEST = hashlib.sha256(b"content").digest()
for name, algorithm in [("python-rsa", SignatureAlgorithm.rs256), ("python-rsa", SignatureAlgorithm.ps256),
                        ("python-ec", SignatureAlgorithm.es256)]:
    @step("azure-keyvault-keys", f"sign there and verify here {algorithm.value}")
    def _():
        crypto = CryptographyClient(keys.get_key(name), operator)
        signed = crypto.sign(algorithm, DIGEST)
        assert crypto.verify(algorithm, DIGEST, signed.signature).is_valid
        assert not crypto.verify(algorithm, hashlib.sha256(b"other").digest(), signed.signature).is_valid


for algorithm in [EncryptionAlgorithm.rsa_oaep, EncryptionAlgorithm.rsa_oaep_256, EncryptionAlgorithm.rsa1_5]:
    @step("azure-keyvault-keys", f"encrypt here and decrypt there {algorithm.value}")
    def _():
        crypto = CryptographyClient(keys.get_key("python-rsa"), operator)
        assert crypto.decrypt(algorithm, crypto.encrypt(algorithm, b"plain").ciphertext).plaintext == b"plain"


@step("azure-keyvault-keys", "wrap here and unwrap there")
def _():
    crypto = CryptographyClient(keys.get_key("python-rsa"), operator)
    wrapped = crypto.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, b"0123456789abcdef")
    assert crypto.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped.encrypted_key).key == b"0123456789abcdef"


@step("azure-keyvault-keys", "back up, delete, recover, delete, purge, restore")
def _():
    kept = keys.backup_key("python-ec")
    keys.begin_delete_key("python-ec").wait()
    keys.begin_recover_deleted_key("python-ec").wait()
    keys.begin_delete_key("python-ec").wait()
    keys.purge_deleted_key("python-ec")
    keys.restore_key_backup(kept)


certificates = CertificateClient(VAULT, operator)


@step("azure-keyvault-certificates", "get, refused to a workload with rights on secrets alone")
def _():
    refused(lambda: CertificateClient(VAULT, workload).get_certificate("python-self"), 403)


@step("azure-keyvault-certificates", "create one that signs itself, with its secret and its key")
def _():
    policy = CertificatePolicy(
        issuer_name=WellKnownIssuerNames.self, subject="CN=example.com, O=Contoso", san_dns_names=["www.example.com"],
        exportable=True, key_type=KeyType.rsa, key_size=2048, reuse_key=False, validity_in_months=6,
        content_type=CertificateContentType.pkcs12, key_usage=["digitalSignature"],
    )
    made = certificates.begin_create_certificate("python-self", policy, tags={"a": "b"}, _polling_interval=1).result()
    read = x509.load_der_x509_certificate(bytes(made.cer))
    assert read.subject.rfc4514_string() in ("O=Contoso,CN=example.com", "CN=example.com,O=Contoso"), read.subject
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["www.example.com"]
    assert made.properties.x509_thumbprint == read.fingerprint(hashes.SHA1())
    assert read.not_valid_before_utc == made.properties.not_before and read.not_valid_after_utc == made.properties.expires_on
    key, leaf, _ = pkcs12.load_key_and_certificates(base64.b64decode(writer.get_secret("python-self").value), None)
    assert leaf == read and key.public_key() == read.public_key()
    assert writer.get_secret("python-self").properties.content_type == "application/x-pkcs12"
    crypto = CryptographyClient(keys.get_key("python-self"), operator)
    assert crypto.verify(SignatureAlgorithm.rs256, DIGEST, crypto.sign(SignatureAlgorithm.rs256, DIGEST).signature).is_valid
    refused(lambda: writer.set_secret("python-self", "v"), 403)
    refused(lambda: keys.begin_delete_key("python-self"), 403)


def own_certificate():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "own")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now)
    return key, builder.not_valid_after(now + datetime.timedelta(days=2)).sign(key, hashes.SHA256())


@step("azure-keyvault-certificates", "import PKCS #12 with a password, and PEM")
def _():
    key, own = own_certificate()
    secret = serialization.BestAvailableEncryption(b"word")
    packed = pkcs12.serialize_key_and_certificates(b"own", key, own, None, secret)
    refused(lambda: certificates.import_certificate("python-p12", packed, password="other"), 400)
    made = certificates.import_certificate("python-p12", packed, password="word")
    assert x509.load_der_x509_certificate(bytes(made.cer)) == own and made.policy.issuer_name == "Unknown"
    plain = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    text = plain + own.public_bytes(serialization.Encoding.PEM)
    pem = CertificatePolicy(issuer_name="Unknown", content_type=CertificateContentType.pem)
    certificates.import_certificate("python-pem", text, policy=pem)
    kept = writer.get_secret("python-pem").value.encode()
    assert serialization.load_pem_private_key(kept, None).public_key() == key.public_key()


@step("azure-keyvault-certificates", "ask for one, have it signed elsewhere, and merge it")
def _():
    policy = CertificatePolicy(issuer_name=WellKnownIssuerNames.unknown, subject="CN=merged", key_type=KeyType.ec,
                               key_curve_name="P-256")
    certificates.begin_create_certificate("python-merged", policy, _polling_interval=1)
    operation = certificates.get_certificate_operation("python-merged")
    assert operation.status == "inProgress", operation.status
    refused(lambda: certificates.begin_create_certificate("python-merged", policy).result(), 409)
    csr = x509.load_der_x509_csr(bytes(operation.csr))
    assert csr.is_signature_valid
    key, own = own_certificate()
    builder = x509.CertificateBuilder().subject_name(csr.subject).issuer_name(own.subject).public_key(csr.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(own.not_valid_before_utc)
    signed = builder.not_valid_after(own.not_valid_after_utc).sign(key, hashes.SHA256())
    der = signed.public_bytes(serialization.Encoding.DER)
    refused(lambda: certificates.merge_certificate("python-merged", [own.public_bytes(serialization.Encoding.DER)]), 400)
    merged = certificates.merge_certificate("python-merged", [der])
    assert bytes(merged.cer) == der
    assert certificates.get_certificate_operation("python-merged").status == "completed"


@step("azure-keyvault-certificates", "list, versions, policy, update")
def _():
    assert {"python-self", "python-p12", "python-pem"} <= {one.name for one in certificates.list_properties_of_certificates()}
    policy = certificates.get_certificate_policy("python-self")
    policy._validity_in_months = 3
    certificates.update_certificate_policy("python-self", policy)
    changed = certificates.begin_create_certificate(
        "python-self", certificates.get_certificate_policy("python-self"), _polling_interval=1
    ).result()
    assert len(list(certificates.list_properties_of_certificate_versions("python-self"))) == 2
    assert (changed.properties.expires_on - changed.properties.not_before).days < 100
    updated = certificates.update_certificate_properties("python-self", tags={"c": "d"})
    assert updated.properties.tags == {"c": "d"}


@step("azure-keyvault-certificates", "back up, delete, recover, delete, purge, restore; its secret goes and comes with it")
def _():
    kept = certificates.backup_certificate("python-self")
    certificates.begin_delete_certificate("python-self").wait()
    refused(lambda: writer.get_secret("python-self"), 404)
    certificates.begin_recover_deleted_certificate("python-self").wait()
    assert writer.get_secret("python-self").value
    certificates.begin_delete_certificate("python-self").wait()
    assert any(one.name == "python-self" for one in certificates.list_deleted_certificates())
    certificates.purge_deleted_certificate("python-self")
    refused(lambda: keys.get_key("python-self"), 404)
    certificates.restore_certificate_backup(kept)
    assert writer.get_secret("python-self").value


identities = ManagedServiceIdentityClient(operator, SUBSCRIPTION)


@step("azure-mgmt-msi", "create an identity with a federated credential, list and delete them")
def _():
    made = identities.user_assigned_identities.create_or_update(GROUP, "python-id", {"location": REGION})
    trust = {"properties": {"issuer": "https://issuer.example/", "subject": "system:serviceaccount:a:b",
                            "audiences": ["api://AzureADTokenExchange"]}}
    identities.federated_identity_credentials.create_or_update(GROUP, "python-id", "fic", trust)
    assert len(list(identities.federated_identity_credentials.list(GROUP, "python-id"))) == 1
    identities.federated_identity_credentials.delete(GROUP, "python-id", "fic")
    identities.user_assigned_identities.delete(GROUP, "python-id")
    assert made.client_id


vaults = KeyVaultManagementClient(operator, SUBSCRIPTION)


@step("azure-mgmt-keyvault", "create, get, list, delete and purge a vault")
def _():
    properties = {"tenantId": TENANT, "sku": {"family": "A", "name": "standard"}, "accessPolicies": []}
    body = {"location": REGION, "properties": properties}
    vaults.vaults.begin_create_or_update(GROUP, "python-vault", body).result()
    assert vaults.vaults.get(GROUP, "python-vault").properties.vault_uri
    assert any(one.name == "python-vault" for one in vaults.vaults.list_by_resource_group(GROUP))
    vaults.vaults.delete(GROUP, "python-vault")
    vaults.vaults.begin_purge_deleted("python-vault", REGION).result()


rights = AuthorizationManagementClient(operator, SUBSCRIPTION)
SCOPE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"


@step("azure-mgmt-authorization", "a built-in role at the root, and one of our own, assigned and deleted")
def _():
    reader_role = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
    assert rights.role_definitions.get("/", reader_role).role_name == "Reader"
    own = str(uuid.uuid4())
    rights.role_definitions.create_or_update(SCOPE, own, {"properties": {
        "roleName": "python role", "type": "CustomRole", "assignableScopes": [SCOPE],
        "permissions": [{"actions": ["*/read"], "notActions": []}],
    }})
    principal = identities.user_assigned_identities.get(GROUP, ENV["WORKLOAD_NAME"]).principal_id
    name = str(uuid.uuid4())
    role = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{own}"
    rights.role_assignments.create(SCOPE, name, {"properties": {
        "roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal",
    }})
    rights.role_assignments.delete(SCOPE, name)
    rights.role_definitions.delete(SCOPE, own)


clusters = ContainerServiceClient(operator, SUBSCRIPTION)


@step("azure-mgmt-containerservice", "get a cluster, its pools, its upgrades and its credentials")
def _():
    found = clusters.managed_clusters.get(GROUP, CLUSTER)
    assert found.oidc_issuer_profile.issuer_url and found.network_profile and found.identity_profile["kubeletidentity"]
    assert list(clusters.agent_pools.list(GROUP, CLUSTER))
    clusters.managed_clusters.get_upgrade_profile(GROUP, CLUSTER)
    assert clusters.managed_clusters.list_cluster_user_credentials(GROUP, CLUSTER).kubeconfigs


resources = ResourceManagementClient(operator, SUBSCRIPTION)


# A cluster is on a loopback address here, and is not asked through the proxy that leads Azure's names.
ENV["NO_PROXY"] = ENV["no_proxy"] = "127.0.0.1"
ENDPOINT = {"AZURE_KUBERNETES_TOKEN_PROXY": ENV["ENDPOINT"], "AZURE_KUBERNETES_SNI_NAME": ENV["ENDPOINT_NAME"],
            "AZURE_KUBERNETES_CA_FILE": ENV["ENDPOINT_CA_FILE"]}


def bound(settings, opted=True, **options):
    """A credential as a pod has it that is told these settings."""
    for name in [*ENDPOINT, "AZURE_KUBERNETES_CA_DATA"]:
        ENV.pop(name, None)
    ENV.update(settings)
    return WorkloadIdentityCredential(tenant_id=TENANT, client_id=ENV["WORKLOAD_CLIENT_ID"], enable_azure_proxy=opted,
                                      token_file_path=ENV["ENDPOINT_TOKEN_FILE"], retry_total=0, **options)


def denied(credential):
    try:
        credential.get_token("https://vault.azure.net/.default")
    except ClientAuthenticationError as error:
        return str(error)
    raise AssertionError("expected a refusal")


def bind(cluster):
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers"
    identity = f"{group}/Microsoft.ManagedIdentity/userAssignedIdentities/{ENV['WORKLOAD_NAME']}"
    binding = f"{group}/Microsoft.ContainerService/managedClusters/{cluster}/identityBindings/python"
    body = {"properties": {"managedIdentity": {"resourceId": identity}}}
    return resources.resources.begin_create_or_update_by_id(binding, body, api_version="2026-06-01").result()


@step("azure-identity", "identity binding: a token of the cluster's endpoint, with no way to Entra, reads the secret")
def _():
    assert bind(CLUSTER).properties["oidcIssuer"]["oidcIssuerUrl"].endswith(ENV["WORKLOAD_CLIENT_ID"])
    credential = bound(ENDPOINT, authority="login.no-such-host.example", disable_instance_discovery=True)
    assert SecretClient(VAULT, credential).get_secret("testsecret").value == "Hello!"


@step("azure-identity", "identity binding: who does not ask for it goes to Entra, and is refused for the token's audience")
def _():
    assert "AADSTS700212" in denied(bound(ENDPOINT, opted=False))


@step("azure-identity", "identity binding: a second token, for Entra, serves a direct exchange in the same program")
def _():
    bound(ENDPOINT).get_token("https://vault.azure.net/.default")
    workload.get_token("https://management.azure.com/.default")


@step("azure-identity", "identity binding: no authority is trusted but the one that is given")
def _():
    try:
        bound({**ENDPOINT, "AZURE_KUBERNETES_CA_FILE": ENV["SSL_CERT_FILE"]}).get_token("https://vault.azure.net/.default")
    except Exception as error:
        assert "CERTIFICATE_VERIFY_FAILED" in str(error), str(error)
    else:
        raise AssertionError("expected that the endpoint is not trusted")


@step("azure-identity", "identity binding: an account without the role is told by its name and the client id")
def _():
    bind(ENV["DENYING_CLUSTER"])
    said = denied(bound({**ENDPOINT, "AZURE_KUBERNETES_SNI_NAME": ENV["DENYING_ENDPOINT_NAME"]}))
    assert "system:serviceaccount:" in said and ENV["WORKLOAD_CLIENT_ID"] in said, said


@step("azure-identity", "identity binding: settings without the endpoint's address are an error")
def _():
    try:
        bound({"AZURE_KUBERNETES_CA_FILE": ENDPOINT["AZURE_KUBERNETES_CA_FILE"]})
    except ValueError as error:
        assert "AZURE_KUBERNETES_TOKEN_PROXY" in str(error), str(error)
    else:
        raise AssertionError("expected an error")


bound({}, opted=False)


@step("azure-mgmt-resource", "groups, tags and providers")
def _():
    resources.resource_groups.create_or_update("python-group", {"location": REGION, "tags": {"a": "b"}})
    assert resources.providers.get("Microsoft.KeyVault").resource_types[0].api_versions
    resources.providers.register("Microsoft.Web")
    assert resources.tags.get_at_scope(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/python-group").properties.tags == {"a": "b"}
    resources.resource_groups.begin_delete("python-group").result()


def graph():
    from azure.identity.aio import ClientSecretCredential as AsyncSecretCredential
    from msgraph import GraphServiceClient
    from msgraph.generated.models.application import Application
    from msgraph.generated.models.federated_identity_credential import FederatedIdentityCredential
    from msgraph.generated.models.service_principal import ServicePrincipal

    async def whole():
        credential = AsyncSecretCredential(TENANT, ENV["OPERATOR_CLIENT_ID"], ENV["OPERATOR_CLIENT_SECRET"])
        client = GraphServiceClient(credential, ["https://graph.microsoft.com/.default"])
        made = await client.applications.post(Application(display_name="python app"))
        await client.service_principals.post(ServicePrincipal(app_id=made.app_id))
        owners = await client.applications.by_application_id(made.id).owners.get()
        assert len(owners.value) == 1, owners.value
        trust = FederatedIdentityCredential(name="fic", issuer="https://issuer.example/", subject="a",
                                            audiences=["api://AzureADTokenExchange"])
        credentials = client.applications.by_application_id(made.id).federated_identity_credentials
        await credentials.post(trust)
        assert len((await credentials.get()).value) == 1
        for one in (await client.applications.get()).value:
            dates = [password.start_date_time for password in one.password_credentials]
            assert all(date >= datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) for date in dates), dates
        await client.applications.by_application_id(made.id).delete()
        await credential.close()

    asyncio.run(whole())


step("msgraph-sdk", "applications with owner, federated credential, and dates that can be read")(graph)
