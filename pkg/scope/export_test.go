package scope

// Classified reports whether a Google scope has a class.
func Classified(googleScope string) bool {
	_, ok := classes[googleScope]
	return ok
}

// Classes is the number of Google scopes with a class.
func Classes() int { return len(classes) }
