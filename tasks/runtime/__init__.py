"""What every task uses: services, leases, traces, the base task."""
