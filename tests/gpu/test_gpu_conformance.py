"""The battery that every backend passes (tests/backends), on the CUDA sources."""

from __future__ import annotations

from tests.backends import test_conformance, test_errors
from tests.backends.test_conformance import run  # noqa: F401  the parametrised cases

BATTERY = (
    "test_equals_the_reference_forward_and_backward",
    "test_split_sequence_equals_one_scan",
    "test_differentiate_and_record_change_nothing",
    "test_repeated_vjp_on_one_trace_gives_the_same",
    "test_gradients_are_linear_in_the_cotangents",
)
ERRORS = (
    "setup",
    "test_input_shape",
    "test_event_channels_of_another_network",
    "test_event_channel_out_of_range",
    "test_event_offsets_out_of_range",
    "test_missing_weight",
    "test_unknown_weight",
    "test_weight_shape",
    "test_weight_that_is_not_finite",
    "test_unknown_state_names",
    "test_initial_state_shape",
    "test_output_grad_shape",
    "test_events_have_no_gradient",
    "test_trace_without_what_the_gradient_needs",
    "test_empty_batches_and_sequences",
)
globals().update({name: getattr(test_conformance, name) for name in BATTERY})
globals().update({name: getattr(test_errors, name) for name in ERRORS})
