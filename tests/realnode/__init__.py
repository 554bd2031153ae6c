"""The product in real containers: a real kubelet, containerd and runc, and what only they show."""
