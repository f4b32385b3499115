package signin

var ParseState = parseState
