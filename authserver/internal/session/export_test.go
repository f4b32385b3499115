package session

var Describe = describe
