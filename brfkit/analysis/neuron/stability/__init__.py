"""The ω–b plane: where the discrete resonator is stable, in theory and simulated."""
