// Azure's SDK for JavaScript against whatever the environment leads to. Each step is told in one line of JSON.
import { readFileSync } from "node:fs";
import https from "node:https";

import { ClientSecretCredential, WorkloadIdentityCredential } from "@azure/identity";
import { SecretClient } from "@azure/keyvault-secrets";
import { ConfidentialClientApplication } from "@azure/msal-node";
import { HttpsProxyAgent } from "https-proxy-agent";

const { env } = process;
const tell = (line) => console.log(JSON.stringify(line));
const expect = (holds, what) => {
  if (!holds) throw new Error(what);
};
const step = async (client, operation, act) => {
  try {
    await act();
    tell({ client, operation, result: "ok" });
  } catch (error) {
    tell({ client, operation, result: "failed", error: `${error.name}: ${error.message}` });
  }
};

for (const name of ["@azure/identity", "@azure/keyvault-secrets", "@azure/msal-node"]) {
  const lock = JSON.parse(readFileSync(new URL("package-lock.json", import.meta.url)));
  tell({ package: name, version: lock.packages[`node_modules/${name}`].version });
}

const operator = new ClientSecretCredential(env.AZURE_TENANT_ID, env.OPERATOR_CLIENT_ID, env.OPERATOR_CLIENT_SECRET);
const workload = new WorkloadIdentityCredential({
  tenantId: env.AZURE_TENANT_ID,
  clientId: env.WORKLOAD_CLIENT_ID,
  tokenFilePath: env.AZURE_FEDERATED_TOKEN_FILE,
});
for (const resource of ["https://vault.azure.net", "https://management.azure.com", "https://graph.microsoft.com"]) {
  await step("@azure/identity", `token by workload identity for ${resource}`, () => workload.getToken(`${resource}/.default`));
  await step("@azure/identity", `token by client secret for ${resource}`, () => operator.getToken(`${resource}/.default`));
}
await step("@azure/identity", "a refusal reaches the caller with its AADSTS code", async () => {
  const error = await workload.getToken("https://nowhere.example/.default").then(() => null, (error) => error);
  expect(error && `${error.message}`.includes("500011"), `expected 500011, found ${error}`);
});

const reader = new SecretClient(env.VAULT_URL, workload);
const writer = new SecretClient(env.VAULT_URL, operator);
await step("@azure/keyvault-secrets", "get, as the workload", async () => {
  expect((await reader.getSecret("testsecret")).value === "Hello!", "another value");
});
await step("@azure/keyvault-secrets", "set, refused to the workload", async () => {
  const error = await reader.setSecret("other", "v").then(() => null, (error) => error);
  expect(error?.statusCode === 403, `expected HTTP 403, found ${error}`);
});
await step("@azure/keyvault-secrets", "set, get a version, update, list, list versions", async () => {
  const made = await writer.setSecret("javascript", "v1", { tags: { a: "b" } });
  expect((await writer.getSecret("javascript", { version: made.properties.version })).value === "v1", "another value");
  await writer.updateSecretProperties("javascript", made.properties.version, { tags: { c: "d" } });
  let count = 0;
  for await (const one of writer.listPropertiesOfSecrets()) count += one.name === "javascript" ? 1 : 0;
  for await (const _ of writer.listPropertiesOfSecretVersions("javascript")) count += 1;
  expect(count === 2, `expected the secret once and one version, found ${count}`);
});
await step("@azure/keyvault-secrets", "back up, delete, recover, delete, purge, restore", async () => {
  const kept = await writer.backupSecret("javascript");
  await (await writer.beginDeleteSecret("javascript")).pollUntilDone();
  await (await writer.beginRecoverDeletedSecret("javascript")).pollUntilDone();
  await (await writer.beginDeleteSecret("javascript")).pollUntilDone();
  await writer.purgeDeletedSecret("javascript");
  await writer.restoreSecretBackup(kept);
});

// MSAL by itself knows no proxy of the environment.
const agent = new HttpsProxyAgent(env.HTTPS_PROXY);
const send = (method) => (url, options = {}) =>
  new Promise((resolve, reject) => {
    const request = https.request(url, { method, headers: options.headers, agent }, (answer) => {
      let text = "";
      answer.on("data", (chunk) => (text += chunk));
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body: JSON.parse(text) }));
    });
    request.on("error", reject);
    request.end(options.body);
  });
const networkClient = { sendGetRequestAsync: send("GET"), sendPostRequestAsync: send("POST") };
await step("@azure/msal-node", "a token by client secret, and the same one out of the cache", async () => {
  const application = new ConfidentialClientApplication({
    auth: {
      clientId: env.OPERATOR_CLIENT_ID,
      clientSecret: env.OPERATOR_CLIENT_SECRET,
      authority: `https://login.microsoftonline.com/${env.AZURE_TENANT_ID}`,
    },
    system: { networkClient },
  });
  const scopes = ["https://vault.azure.net/.default"];
  const first = await application.acquireTokenByClientCredential({ scopes });
  const second = await application.acquireTokenByClientCredential({ scopes });
  expect(first.accessToken === second.accessToken && second.fromCache, "expected the same token");
});
await step("@azure/msal-node", "a token by a projected token", async () => {
  const application = new ConfidentialClientApplication({
    auth: {
      clientId: env.WORKLOAD_CLIENT_ID,
      clientAssertion: readFileSync(env.AZURE_FEDERATED_TOKEN_FILE, "utf8"),
      authority: `https://login.microsoftonline.com/${env.AZURE_TENANT_ID}`,
    },
    system: { networkClient },
  });
  await application.acquireTokenByClientCredential({ scopes: ["https://vault.azure.net/.default"] });
});
