package resource

var Parse = parse
