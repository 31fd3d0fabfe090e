// Azure's SDK for Go against whatever the environment leads to. Each step is told in one line of JSON.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/keyvault/armkeyvault"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/msi/armmsi"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

var ctx, cancel = context.WithTimeout(context.Background(), 4*time.Minute)

func env(name string) string {
	value := os.Getenv(name)
	if value == "" {
		fmt.Fprintf(os.Stderr, "%s is not set\n", name)
		os.Exit(2)
	}
	return value
}

func tell(line map[string]string) {
	text, _ := json.Marshal(line)
	fmt.Println(string(text))
}

func step(client, operation string, act func() error) {
	line := map[string]string{"client": client, "operation": operation, "result": "ok"}
	if err := act(); err != nil {
		line["result"], line["error"] = "failed", err.Error()
	}
	tell(line)
}

func expect(holds bool, format string, values ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, values...)
}

func main() {
	defer cancel()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			tell(map[string]string{"package": module.Path, "version": module.Version})
		}
	}
	tenant, vault := env("AZURE_TENANT_ID"), env("VAULT_URL")
	operator, err := azidentity.NewClientSecretCredential(tenant, env("OPERATOR_CLIENT_ID"), env("OPERATOR_CLIENT_SECRET"), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	workload, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientID: env("WORKLOAD_CLIENT_ID"), TenantID: tenant, TokenFilePath: env("AZURE_FEDERATED_TOKEN_FILE"),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	identity(operator, workload)
	secrets(operator, workload, vault)
	keys(operator, workload, vault)
	management(operator)
}

func identity(operator, workload azcore.TokenCredential) {
	const client = "azidentity"
	for _, resource := range []string{"https://vault.azure.net", "https://management.azure.com", "https://graph.microsoft.com"} {
		ask := policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}}
		step(client, "token by workload identity for "+resource, func() error {
			_, err := workload.GetToken(ctx, ask)
			return err
		})
		step(client, "token by client secret for "+resource, func() error {
			_, err := operator.GetToken(ctx, ask)
			return err
		})
	}
	step(client, "a refusal reaches the caller with its AADSTS code", func() error {
		_, err := workload.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://nowhere.example/.default"}})
		var failed *azidentity.AuthenticationFailedError
		return expect(errors.As(err, &failed) && failed.RawResponse.StatusCode == 400, "expected AADSTS500011, found %v", err)
	})
}

func secrets(operator, workload azcore.TokenCredential, vault string) {
	const client = "azsecrets"
	reader, _ := azsecrets.NewClient(vault, workload, nil)
	writer, _ := azsecrets.NewClient(vault, operator, nil)
	step(client, "get, as the workload", func() error {
		secret, err := reader.GetSecret(ctx, "testsecret", "", nil)
		if err != nil {
			return err
		}
		return expect(*secret.Value == "Hello!", "expected Hello!, found another value")
	})
	step(client, "set, refused to the workload", func() error {
		_, err := reader.SetSecret(ctx, "other", azsecrets.SetSecretParameters{Value: to.Ptr("v")}, nil)
		return refused(err, 403)
	})
	step(client, "set and get a version", func() error {
		set, err := writer.SetSecret(ctx, "go", azsecrets.SetSecretParameters{Value: to.Ptr("v1"), ContentType: to.Ptr("text/plain")}, nil)
		if err != nil {
			return err
		}
		_, err = writer.GetSecret(ctx, "go", set.ID.Version(), nil)
		return err
	})
	step(client, "update properties", func() error {
		_, err := writer.UpdateSecretProperties(ctx, "go", "", azsecrets.UpdateSecretPropertiesParameters{Tags: map[string]*string{"a": to.Ptr("b")}}, nil)
		return err
	})
	step(client, "list, over pages", func() error {
		count := 0
		for pager := writer.NewListSecretPropertiesPager(nil); pager.More(); {
			page, err := pager.NextPage(ctx)
			if err != nil {
				return err
			}
			count += len(page.Value)
		}
		return expect(count >= 2, "expected at least 2 secrets, found %d", count)
	})
	step(client, "list versions", func() error {
		page, err := writer.NewListSecretPropertiesVersionsPager("go", nil).NextPage(ctx)
		if err != nil {
			return err
		}
		return expect(len(page.Value) == 1, "expected 1 version, found %d", len(page.Value))
	})
	step(client, "back up, delete, recover, delete, purge, restore", func() error {
		kept, err := writer.BackupSecret(ctx, "go", nil)
		if err != nil {
			return err
		}
		if _, err = writer.DeleteSecret(ctx, "go", nil); err != nil {
			return err
		}
		if _, err = writer.RecoverDeletedSecret(ctx, "go", nil); err != nil {
			return err
		}
		if _, err = writer.DeleteSecret(ctx, "go", nil); err != nil {
			return err
		}
		if _, err = writer.PurgeDeletedSecret(ctx, "go", nil); err != nil {
			return err
		}
		_, err = writer.RestoreSecret(ctx, azsecrets.RestoreSecretParameters{SecretBackup: kept.Value}, nil)
		return err
	})
	step(client, "a missing secret is a 404", func() error {
		_, err := writer.GetSecret(ctx, "missing", "", nil)
		return refused(err, 404)
	})
}

func keys(operator, workload azcore.TokenCredential, vault string) {
	const client = "azkeys"
	reader, _ := azkeys.NewClient(vault, workload, nil)
	writer, _ := azkeys.NewClient(vault, operator, nil)
	step(client, "get, refused to a workload with rights on secrets alone", func() error {
		_, err := reader.GetKey(ctx, "go-rsa", "", nil)
		return refused(err, 403)
	})
	step(client, "create RSA and EC", func() error {
		if _, err := writer.CreateKey(ctx, "go-rsa", azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeRSA), KeySize: to.Ptr(int32(2048))}, nil); err != nil {
			return err
		}
		_, err := writer.CreateKey(ctx, "go-ec", azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeEC), Curve: to.Ptr(azkeys.CurveNameP256)}, nil)
		return err
	})
	digest := sha256.Sum256([]byte("content"))
	for _, use := range []struct {
		key       string
		algorithm azkeys.SignatureAlgorithm
	}{{"go-rsa", azkeys.SignatureAlgorithmRS256}, {"go-rsa", azkeys.SignatureAlgorithmPS256}, {"go-ec", azkeys.SignatureAlgorithmES256}} {
		step(client, "sign and verify "+string(use.algorithm), func() error {
			signed, err := writer.Sign(ctx, use.key, "", azkeys.SignParameters{Algorithm: &use.algorithm, Value: digest[:]}, nil)
			if err != nil {
				return err
			}
			verified, err := writer.Verify(ctx, use.key, "", azkeys.VerifyParameters{Algorithm: &use.algorithm, Digest: digest[:], Signature: signed.Result}, nil)
			if err != nil {
				return err
			}
			return expect(*verified.Value, "the signature does not verify")
		})
	}
	algorithm := azkeys.EncryptionAlgorithmRSAOAEP256
	step(client, "encrypt and decrypt RSA-OAEP-256", func() error {
		encrypted, err := writer.Encrypt(ctx, "go-rsa", "", azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: []byte("plain")}, nil)
		if err != nil {
			return err
		}
		decrypted, err := writer.Decrypt(ctx, "go-rsa", "", azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: encrypted.Result}, nil)
		if err != nil {
			return err
		}
		return expect(string(decrypted.Result) == "plain", "expected plain, found another text")
	})
	step(client, "wrap and unwrap", func() error {
		wrapped, err := writer.WrapKey(ctx, "go-rsa", "", azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: []byte("0123456789abcdef")}, nil)
		if err != nil {
			return err
		}
		_, err = writer.UnwrapKey(ctx, "go-rsa", "", azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: wrapped.Result}, nil)
		return err
	})
	step(client, "list, versions, delete, recover, purge", func() error {
		page, err := writer.NewListKeyPropertiesPager(nil).NextPage(ctx)
		if err != nil || len(page.Value) < 2 {
			return errors.Join(err, expect(len(page.Value) >= 2, "expected 2 keys, found %d", len(page.Value)))
		}
		if _, err = writer.NewListKeyPropertiesVersionsPager("go-rsa", nil).NextPage(ctx); err != nil {
			return err
		}
		if _, err = writer.DeleteKey(ctx, "go-ec", nil); err != nil {
			return err
		}
		if _, err = writer.RecoverDeletedKey(ctx, "go-ec", nil); err != nil {
			return err
		}
		if _, err = writer.DeleteKey(ctx, "go-ec", nil); err != nil {
			return err
		}
		_, err = writer.PurgeDeletedKey(ctx, "go-ec", nil)
		return err
	})
}

func management(operator azcore.TokenCredential) {
	subscription, group, cluster := env("AZURE_SUBSCRIPTION_ID"), env("RESOURCE_GROUP"), env("CLUSTER_NAME")
	region := to.Ptr(env("LOCATION"))
	identities, _ := armmsi.NewUserAssignedIdentitiesClient(subscription, operator, nil)
	credentials, _ := armmsi.NewFederatedIdentityCredentialsClient(subscription, operator, nil)
	step("armmsi", "create, get, list and delete an identity with a federated credential", func() error {
		if _, err := identities.CreateOrUpdate(ctx, group, "go-id", armmsi.Identity{Location: region}, nil); err != nil {
			return err
		}
		trust := armmsi.FederatedIdentityCredential{Properties: &armmsi.FederatedIdentityCredentialProperties{
			Issuer: to.Ptr("https://issuer.example/"), Subject: to.Ptr("system:serviceaccount:a:b"),
			Audiences: []*string{to.Ptr("api://AzureADTokenExchange")},
		}}
		if _, err := credentials.CreateOrUpdate(ctx, group, "go-id", "fic", trust, nil); err != nil {
			return err
		}
		if _, err := credentials.Get(ctx, group, "go-id", "fic", nil); err != nil {
			return err
		}
		page, err := credentials.NewListPager(group, "go-id", nil).NextPage(ctx)
		if err != nil || len(page.Value) != 1 {
			return errors.Join(err, expect(len(page.Value) == 1, "expected 1 credential, found %d", len(page.Value)))
		}
		if _, err = credentials.Delete(ctx, group, "go-id", "fic", nil); err != nil {
			return err
		}
		_, err = identities.Delete(ctx, group, "go-id", nil)
		return err
	})
	vaults, _ := armkeyvault.NewVaultsClient(subscription, operator, nil)
	step("armkeyvault", "create, get, list and delete a vault", func() error {
		name := "go-vault-1"
		poller, err := vaults.BeginCreateOrUpdate(ctx, group, name, armkeyvault.VaultCreateOrUpdateParameters{
			Location: region,
			Properties: &armkeyvault.VaultProperties{
				TenantID:       to.Ptr(os.Getenv("AZURE_TENANT_ID")),
				SKU:            &armkeyvault.SKU{Family: to.Ptr(armkeyvault.SKUFamilyA), Name: to.Ptr(armkeyvault.SKUNameStandard)},
				AccessPolicies: []*armkeyvault.AccessPolicyEntry{},
			},
		}, nil)
		if err != nil {
			return err
		}
		if _, err = poller.PollUntilDone(ctx, nil); err != nil {
			return err
		}
		if _, err = vaults.Get(ctx, group, name, nil); err != nil {
			return err
		}
		if _, err = vaults.NewListByResourceGroupPager(group, nil).NextPage(ctx); err != nil {
			return err
		}
		_, err = vaults.Delete(ctx, group, name, nil)
		return err
	})
	clusters, _ := armcontainerservice.NewManagedClustersClient(subscription, operator, nil)
	step("armcontainerservice", "get a cluster with issuer, pools, network and kubelet identity", func() error {
		found, err := clusters.Get(ctx, group, cluster, nil)
		if err != nil {
			return err
		}
		p := found.Properties
		whole := p.OidcIssuerProfile != nil && p.OidcIssuerProfile.IssuerURL != nil && len(p.AgentPoolProfiles) > 0 &&
			p.AgentPoolProfiles[0].Type != nil && p.AgentPoolProfiles[0].Mode != nil && p.NetworkProfile != nil &&
			p.IdentityProfile["kubeletidentity"] != nil && p.ServicePrincipalProfile != nil && p.NodeResourceGroup != nil && found.Identity != nil
		return expect(whole, "a part of the cluster is missing")
	})
	step("armcontainerservice", "list user credentials", func() error {
		found, err := clusters.ListClusterUserCredentials(ctx, group, cluster, nil)
		if err != nil {
			return err
		}
		return expect(len(found.Kubeconfigs) == 1, "expected 1 kubeconfig, found %d", len(found.Kubeconfigs))
	})
	pools, _ := armcontainerservice.NewAgentPoolsClient(subscription, operator, nil)
	step("armcontainerservice", "list and get agent pools", func() error {
		page, err := pools.NewListPager(group, cluster, nil).NextPage(ctx)
		if err != nil || len(page.Value) == 0 {
			return errors.Join(err, expect(len(page.Value) > 0, "no pool"))
		}
		_, err = pools.Get(ctx, group, cluster, *page.Value[0].Name, nil)
		return err
	})
	step("armcontainerservice", "upgrade profile and versions of a region", func() error {
		if _, err := clusters.GetUpgradeProfile(ctx, group, cluster, nil); err != nil {
			return err
		}
		_, err := clusters.ListKubernetesVersions(ctx, *region, nil)
		return err
	})
}

func refused(err error, status int) error {
	var answer *azcore.ResponseError
	return expect(errors.As(err, &answer) && answer.StatusCode == status, "expected HTTP %d, found %v", status, err)
}
