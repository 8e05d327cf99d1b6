"""The search: training scores on a device until a subnetwork is found."""
