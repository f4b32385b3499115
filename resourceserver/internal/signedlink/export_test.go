package signedlink

// Parallel is how many transfers of a kind run at once.
const Parallel = parallel
