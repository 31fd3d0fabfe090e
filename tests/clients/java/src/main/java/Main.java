import com.azure.core.credential.TokenCredential;
import com.azure.core.credential.TokenRequestContext;
import com.azure.core.exception.HttpResponseException;
import com.azure.identity.ClientSecretCredentialBuilder;
import com.azure.identity.WorkloadIdentityCredentialBuilder;
import com.azure.security.keyvault.secrets.SecretClient;
import com.azure.security.keyvault.secrets.SecretClientBuilder;
import com.azure.security.keyvault.secrets.models.KeyVaultSecret;
import com.microsoft.aad.msal4j.ClientCredentialFactory;
import com.microsoft.aad.msal4j.ClientCredentialParameters;
import com.microsoft.aad.msal4j.ConfidentialClientApplication;
import com.microsoft.aad.msal4j.IAuthenticationResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;

/** Azure's SDK for Java against whatever the environment leads to. Each step is told in one line of JSON. */
public final class Main {
    private interface Act {
        void run() throws Exception;
    }

    private static final Map<String, String> ENV = System.getenv();

    private static String quoted(String text) {
        StringBuilder shown = new StringBuilder("\"");
        for (char letter : text.toCharArray()) {
            if (letter == '"' || letter == '\\') {
                shown.append('\\').append(letter);
            } else if (letter < ' ') {
                shown.append(String.format("\\u%04x", (int) letter));
            } else {
                shown.append(letter);
            }
        }
        return shown.append('"').toString();
    }

    private static void step(String client, String operation, Act act) {
        String head = "{\"client\":" + quoted(client) + ",\"operation\":" + quoted(operation);
        try {
            act.run();
            System.out.println(head + ",\"result\":\"ok\"}");
        } catch (Throwable error) {
            System.out.println(head + ",\"result\":\"failed\",\"error\":" + quoted(String.valueOf(error)) + "}");
        }
    }

    private static void expect(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException(what);
        }
    }

    /** The version in the name of the archive that a class is from. */
    private static void version(String client, Class<?> of) {
        String archive = Path.of(of.getProtectionDomain().getCodeSource().getLocation().getPath()).getFileName().toString();
        String version = archive.replace(client + "-", "").replace(".jar", "");
        System.out.println("{\"package\":" + quoted(client) + ",\"version\":" + quoted(version) + "}");
    }

    public static void main(String[] arguments) {
        version("azure-identity", ClientSecretCredentialBuilder.class);
        version("azure-security-keyvault-secrets", SecretClient.class);
        version("msal4j", ConfidentialClientApplication.class);
        String tenant = ENV.get("AZURE_TENANT_ID");
        TokenCredential operator = new ClientSecretCredentialBuilder()
            .tenantId(tenant).clientId(ENV.get("OPERATOR_CLIENT_ID")).clientSecret(ENV.get("OPERATOR_CLIENT_SECRET")).build();
        TokenCredential workload = new WorkloadIdentityCredentialBuilder()
            .tenantId(tenant).clientId(ENV.get("WORKLOAD_CLIENT_ID")).tokenFilePath(ENV.get("AZURE_FEDERATED_TOKEN_FILE")).build();
        for (String resource : new String[] {"https://vault.azure.net", "https://management.azure.com", "https://graph.microsoft.com"}) {
            TokenRequestContext ask = new TokenRequestContext().addScopes(resource + "/.default");
            step("azure-identity", "token by workload identity for " + resource, () -> workload.getTokenSync(ask));
            step("azure-identity", "token by client secret for " + resource, () -> operator.getTokenSync(ask));
        }
        step("azure-identity", "a refusal reaches the caller with its AADSTS code", () -> {
            try {
                workload.getTokenSync(new TokenRequestContext().addScopes("https://nowhere.example/.default"));
            } catch (RuntimeException error) {
                expect(error.toString().contains("AADSTS500011"), error.toString());
                return;
            }
            throw new IllegalStateException("expected a refusal");
        });
        secrets(operator, workload);
        msal(tenant);
        System.exit(0);
    }

    private static void secrets(TokenCredential operator, TokenCredential workload) {
        String client = "azure-security-keyvault-secrets";
        String vault = ENV.get("VAULT_URL");
        SecretClient reader = new SecretClientBuilder().vaultUrl(vault).credential(workload).buildClient();
        SecretClient writer = new SecretClientBuilder().vaultUrl(vault).credential(operator).buildClient();
        step(client, "get, as the workload", () -> expect(reader.getSecret("testsecret").getValue().equals("Hello!"), "another value"));
        step(client, "set, refused to the workload", () -> {
            try {
                reader.setSecret("other", "v");
            } catch (HttpResponseException error) {
                expect(error.getResponse().getStatusCode() == 403, error.toString());
                return;
            }
            throw new IllegalStateException("expected HTTP 403");
        });
        step(client, "set, get a version, update, list, list versions", () -> {
            KeyVaultSecret made = writer.setSecret("java", "v1");
            expect(writer.getSecret("java", made.getProperties().getVersion()).getValue().equals("v1"), "another value");
            writer.updateSecretProperties(made.getProperties().setContentType("text/plain"));
            expect(writer.listPropertiesOfSecrets().stream().anyMatch(one -> one.getName().equals("java")), "not listed");
            expect(writer.listPropertiesOfSecretVersions("java").stream().count() == 1, "expected 1 version");
        });
        step(client, "back up, delete, recover, delete, purge, restore", () -> {
            byte[] kept = writer.backupSecret("java");
            writer.beginDeleteSecret("java").waitForCompletion();
            writer.beginRecoverDeletedSecret("java").waitForCompletion();
            writer.beginDeleteSecret("java").waitForCompletion();
            writer.purgeDeletedSecret("java");
            writer.restoreSecretBackup(kept);
        });
    }

    private static void msal(String tenant) {
        String authority = "https://login.microsoftonline.com/" + tenant;
        ClientCredentialParameters ask = ClientCredentialParameters.builder(Set.of("https://vault.azure.net/.default")).build();
        step("msal4j", "a token by client secret, and the same one out of the cache", () -> {
            ConfidentialClientApplication application = ConfidentialClientApplication.builder(
                ENV.get("OPERATOR_CLIENT_ID"), ClientCredentialFactory.createFromSecret(ENV.get("OPERATOR_CLIENT_SECRET")))
                .authority(authority).build();
            IAuthenticationResult first = application.acquireToken(ask).get();
            expect(application.acquireToken(ask).get().accessToken().equals(first.accessToken()), "another token");
        });
        step("msal4j", "a token by a projected token", () -> {
            String assertion = Files.readString(Path.of(ENV.get("AZURE_FEDERATED_TOKEN_FILE")));
            ConfidentialClientApplication.builder(
                ENV.get("WORKLOAD_CLIENT_ID"), ClientCredentialFactory.createFromClientAssertion(assertion))
                .authority(authority).build().acquireToken(ask).get();
        });
    }
}
