"""The test language and the simulated mesh, for every context there will be."""
