// Derived values of a layer, once per sequence. They are made in double precision whatever the weights are: an error in
// a decay acts at every step in the same direction.

extern "C" __global__ void derive(
    PARAMETER_ARRAYS, const double* constants,
    stored* derived_all,  // [DERIVED, units]
    int units) {
    const int unit = blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= units) return;
    const double parameter[PARAMETERS] = {PARAMETER_VALUES};
    double constant[CONSTANTS], derived[DERIVED];
    for (int i = 0; i < CONSTANTS; ++i) constant[i] = constants[i];
    neuron_derive(parameter, constant, derived);
    for (int i = 0; i < DERIVED; ++i) derived_all[i * units + unit] = static_cast<stored>(derived[i]);
}

extern "C" __global__ void derive_vjp(
    PARAMETER_ARRAYS, const double* constants,
    const stored* derived_bars,  // [DERIVED, units]
    stored* parameter_bars,      // [PARAMETERS, units]
    int units) {
    const int unit = blockIdx.x * blockDim.x + threadIdx.x;
    if (unit >= units) return;
    const double parameter[PARAMETERS] = {PARAMETER_VALUES};
    double constant[CONSTANTS], derived_bar[DERIVED], parameter_bar[PARAMETERS];
    for (int i = 0; i < CONSTANTS; ++i) constant[i] = constants[i];
    for (int i = 0; i < DERIVED; ++i) derived_bar[i] = derived_bars[i * units + unit];
    neuron_derive_vjp(parameter, constant, derived_bar, parameter_bar);
    for (int i = 0; i < PARAMETERS; ++i) parameter_bars[i * units + unit] = static_cast<stored>(parameter_bar[i]);
}
