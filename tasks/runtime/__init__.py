"""What every task stands on: services, leases, traces, the base task."""
