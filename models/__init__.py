"""Architectures, draws, masked layers and the Subnetwork value. Knows numpy and torch, nothing above."""
