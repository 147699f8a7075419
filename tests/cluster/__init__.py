"""The manifests on a real cluster: any that KUBECONFIG names."""
