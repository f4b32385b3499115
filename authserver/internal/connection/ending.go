package connection

import (
	"context"
	"time"
)

// Google ends the refresh tokens of an OAuth client in testing mode seven days
// after the sign-in, and says so with refresh_token_expires_in.
const (
	// Warning is how long before it people are told.
	Warning = 24 * time.Hour
	// skew is how far Google's clock may be before ours when it says that a
	// token has ended.
	skew = 5 * time.Minute
	// testingEnded is the last error of such a credential.
	testingEnded = "testing_expired"
	// ByOperator is the last error of one whose operator asks for a new sign-in.
	ByOperator = "operator_request"

	tellEvery = 24 * time.Hour // in the log, for all replicas
	askEvery  = time.Hour      // whether to tell, per replica
)

// Ending reports whether Google ends the connection within Warning, or has
// ended it.
func (r *Record) Ending(now time.Time) bool {
	return !r.RefreshExpires.IsZero() && r.RefreshExpires.Sub(now) <= Warning
}

// ended reports whether the end that Google named has come. Only an
// invalid_grant makes it true: Google may change its mind.
func (r *Record) ended(now time.Time) bool {
	return !r.RefreshExpires.IsZero() && r.RefreshExpires.Sub(now) <= skew
}

// EndingStore decides which replica tells of a coming end. NoteEnding reports
// true to one caller in each span of the given length.
type EndingStore interface {
	NoteEnding(ctx context.Context, ref Ref, every time.Duration) (bool, error)
}

// ending logs that Google will end a connection, once a day, and returns the
// token as it is. Best effort: the person is told by the token itself.
func (c *Credentials) ending(ctx context.Context, ref Ref, t *AccessToken) *AccessToken {
	now := c.now()
	if c.Endings == nil || c.Log == nil || t.RefreshExpires.IsZero() || t.RefreshExpires.Sub(now) > Warning || !c.told.claim(ref, now.Add(askEvery), now) {
		return t
	}
	mine, err := c.Endings.NoteEnding(ctx, ref, tellEvery)
	switch {
	case err != nil:
		c.Log.Warn("noting the end of a connection", "error", err)
	case mine:
		c.Log.Warn("google ends this connection soon, because the OAuth client is in testing mode: the person must sign in again, or publish the client",
			"tenant", ref.Tenant.String(), "connection", ref.Connection.String(), "ends", t.RefreshExpires.UTC())
	}
	return t
}
