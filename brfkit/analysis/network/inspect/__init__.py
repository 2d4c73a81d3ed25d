"""What a trained network has become: parameters, weights, activity, errors."""
