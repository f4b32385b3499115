package job

// Failure says in one word why a job failed; Text says it to its administrator. It is
// never an error's own text, which may name what is nobody's business.
type Failure string

// Why a job failed. The set is closed; a word of a newer program says no more than
// itself.
const (
	WrongKEK   Failure = "wrong_kek"
	KEKRefused Failure = "kek_refused"
	KEKAway    Failure = "kek_away"
	OtherKEK   Failure = "other_kek"
	Superseded Failure = "superseded"
	TimedOut   Failure = "timed_out"
	Abandoned  Failure = "abandoned"
	Internal   Failure = "internal"
)

var failures = map[Failure]string{
	WrongKEK:   "A data key is wrapped by a key-encryption key that the server does not have. Give the servers the one that was in use beside the current one (FROM_KEK_FILE or FROM_KEK_URI), then begin again.",
	KEKRefused: "The key management service does not let the server use the key-encryption key. Check that the key is enabled and that the server may use it, then begin again.",
	KEKAway:    "The key management service of the key-encryption key did not answer.",
	OtherKEK:   "The servers that have seen this job have another current key-encryption key than the server that began it. One that has it takes the job; when none will, begin again.",
	Superseded: "It was begun again for another key-encryption key.",
	TimedOut:   "It took longer than it may. A server tries again from where it was.",
	Abandoned:  "Each server that began it ended before it was done. Look at the servers' logs and memory, then begin again.",
	Internal:   "The server that did it failed; its log says more, in lines with the job's id.",
}

// Failures are all of them.
func Failures() []Failure {
	return []Failure{WrongKEK, KEKRefused, KEKAway, OtherKEK, Superseded, TimedOut, Abandoned, Internal}
}

// Text is a sentence for people.
func (f Failure) Text() string { return failures[f] }
