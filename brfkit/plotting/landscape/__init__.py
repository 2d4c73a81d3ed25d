"""Pictures of error surfaces."""
