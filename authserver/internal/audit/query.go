package audit

import (
	"errors"
	"time"

	"github.com/google/uuid"
)

// MaxPage is the most that one page of a search has.
const MaxPage = 1000

// Query says what is searched for. Empty members do not narrow it.
type Query struct {
	Subject uuid.UUID
	Client  string
	Grant   uuid.UUID
	Kind    Kind
	Request string // request or error id, of this server or of the resource server
	Since   time.Time
	Until   time.Time // exclusive
	Before  int64     // events with smaller ids: the last one of the page before
	Limit   int       // 1 to MaxPage
}

// Range is a contiguous part of a chain.
type Range struct {
	From        Head // the event before the first; zero: none
	First, Last int64
}

// ErrNoEvents says that there is nothing in a range.
var ErrNoEvents = errors.New("no sealed audit event in this range")
