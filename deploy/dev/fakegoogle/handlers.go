package fakegoogle

// handlers are the implemented methods, by their Discovery id. Each runs under
// the server's mutex. A nil result is 204.
var handlers = map[string]func(*call) (any, error){}

func handle(id string, h func(*call) (any, error)) { handlers[id] = h }

// Implemented lists the ids of the methods that the stand-in serves.
func Implemented() []string {
	out := make([]string, 0, len(handlers))
	for id := range handlers {
		out = append(out, id)
	}
	return out
}
