terraform {
  required_version = ">= 1.6"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = ">= 5.12"
    }
    helm = {
      source  = "hashicorp/helm"
      version = ">= 3.0"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = ">= 2.30"
    }
  }
}

# All that is particular to a place comes from the environment: ARM_*, KUBE_CONFIG_PATH, and the authority.
provider "azurerm" {
  resource_provider_registrations = "none"
  features {}
}

provider "kubernetes" {}

provider "helm" {}
