"""Real nodes beside KWOK's: a kubelet, containerd and runc each, with the real containers of real images.

A node is one process tree with a mount and a PID namespace of its own (`machine`); all nodes, and with them the control
plane, live in one network namespace without a way out (`network`). So the end of a process ends its node, whatever had
happened: containers, mounts, interfaces and addresses go with the namespaces. What is left are cgroups and files, which
`down` removes.
"""
