data "azurerm_client_config" "current" {}

data "azurerm_kubernetes_cluster" "this" {
  name                = var.cluster
  resource_group_name = var.resource_group
}

data "azurerm_key_vault" "this" {
  name                = var.key_vault
  resource_group_name = var.resource_group
}

resource "helm_release" "webhook" {
  count = var.webhook_chart == "" ? 0 : 1

  name             = "workload-identity-webhook"
  chart            = var.webhook_chart
  repository       = var.webhook_repository
  namespace        = "azure-workload-identity-system"
  create_namespace = true

  set = [{
    name  = "azureTenantID"
    value = data.azurerm_client_config.current.tenant_id
  }]
}

resource "azurerm_user_assigned_identity" "workload" {
  name                = "workload-identity"
  location            = data.azurerm_kubernetes_cluster.this.location
  resource_group_name = var.resource_group
}

resource "azurerm_federated_identity_credential" "workload" {
  name                      = "workload-identity"
  user_assigned_identity_id = azurerm_user_assigned_identity.workload.id
  issuer                    = data.azurerm_kubernetes_cluster.this.oidc_issuer_url
  subject                   = "system:serviceaccount:${var.namespace}:${var.service_account}"
  audience                  = ["api://AzureADTokenExchange"]
}

resource "azurerm_key_vault_access_policy" "workload" {
  key_vault_id       = data.azurerm_key_vault.this.id
  tenant_id          = data.azurerm_client_config.current.tenant_id
  object_id          = azurerm_user_assigned_identity.workload.principal_id
  secret_permissions = ["Get", "List"]
}

resource "kubernetes_service_account" "workload" {
  metadata {
    name        = var.service_account
    namespace   = var.namespace
    annotations = { "azure.workload.identity/client-id" = azurerm_user_assigned_identity.workload.client_id }
    labels      = { "azure.workload.identity/use" = "true" }
  }

  automount_service_account_token = false
}

resource "kubernetes_pod" "quick_start" {
  metadata {
    name      = "quick-start"
    namespace = var.namespace
    labels    = { "azure.workload.identity/use" = "true" }
  }

  spec {
    service_account_name            = kubernetes_service_account.workload.metadata[0].name
    automount_service_account_token = true

    container {
      name  = "quick-start"
      image = var.image

      env {
        name  = "KEYVAULT_URL"
        value = data.azurerm_key_vault.this.vault_uri
      }

      env {
        name  = "SECRET_NAME"
        value = var.secret
      }

      # The program of this project ends after one round otherwise; others do not read it.
      env {
        name  = "QUICKSTART_REPEAT"
        value = "60"
      }
    }
  }

  # What the webhook adds is not ours to change.
  lifecycle {
    ignore_changes = [spec[0].container[0].env, spec[0].container[0].volume_mount, spec[0].volume]
  }

  depends_on = [
    helm_release.webhook,
    azurerm_federated_identity_credential.workload,
    azurerm_key_vault_access_policy.workload,
  ]
}

output "client_id" {
  description = "The client id that the account is annotated with."
  value       = azurerm_user_assigned_identity.workload.client_id
}
