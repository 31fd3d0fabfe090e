//! An end-to-end conformance test harness for Azure Workload Identity on Kubernetes.
