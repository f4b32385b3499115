package signals

// Parse reads verified claims.
var Parse = parse
