"""A control plane to test against: an API server that speaks the real protocol over HTTP, a Job controller, and a
kubelet that runs workers on this machine. With KUBECONFIG the first two are the real ones."""
