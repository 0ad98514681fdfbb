"""How fast it is, on this machine: ``python -m benchmarks`` runs everything and prints JSON."""
