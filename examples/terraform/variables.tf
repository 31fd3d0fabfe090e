variable "resource_group" {
  description = "The resource group that has the cluster and the vault."
  type        = string
}

variable "cluster" {
  description = "The managed cluster whose issuer is trusted."
  type        = string
}

variable "key_vault" {
  description = "A vault that goes by access policies."
  type        = string
}

variable "secret" {
  description = "A secret of that vault, which the pod reads."
  type        = string
  default     = "my-secret"
}

variable "namespace" {
  description = "Where the pod runs."
  type        = string
  default     = "default"
}

variable "service_account" {
  description = "The account that the pod runs as."
  type        = string
  default     = "workload-identity-sa"
}

variable "image" {
  description = "The quick-start program."
  type        = string
  default     = "ghcr.io/azure/azure-workload-identity/msal-go:latest"
}

variable "webhook_chart" {
  description = "The webhook's chart: a name in the repository, or a folder. Empty where the cluster has the webhook already."
  type        = string
  default     = "workload-identity-webhook"
}

variable "webhook_repository" {
  description = "The repository of the chart; null for a folder."
  type        = string
  default     = "https://azure.github.io/azure-workload-identity/charts"
}
