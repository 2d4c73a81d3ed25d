"""Looking inside: what a neuron does to frequencies, where it is stable, how its gradient travels."""
