package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/client"
	"latchkey/authserver/internal/grant"
	"latchkey/authserver/internal/tenant"
	"latchkey/pkg/oauth"
)

// lateReplay separates two requests of one client that race for a code (a
// double-fired callback) from a replay. Both are refused; only a replay with
// valid parameters later than this revokes what the first request got
// (RFC 6749 §4.1.2, OAuth 2.1 §4.1.3).
const lateReplay = 2 * time.Second

const grantColumns = `id, client_id, subject_id, connection_id, resource, scopes, offline, generation, expires_at, created_at`

// unlessRevokedBefore is the condition that no epoch ends a grant that is not
// marked itself, or not yet: decision 0017. $1 is the tenant.
var (
	revokedBefore       = grantEpoch("grants")
	unlessRevokedBefore = `NOT ` + revokedBefore
)

func grantEpoch(grants string) string {
	return `EXISTS (SELECT FROM revocation_epochs e WHERE e.tenant_id = $1 AND e.closed_at IS NULL AND e.revoked_before >= ` + grants + `.created_at
		AND (e.subject_id IS NULL OR e.subject_id = ` + grants + `.subject_id) AND (e.client_id = '' OR e.client_id = ` + grants + `.client_id))`
}

// claimed reads what a claim returned.
const claimed = `SELECT ` + grantColumns + ` FROM act`

func scanGrant(t tenant.ID, row pgx.Row) (*grant.Grant, error) {
	g := grant.Grant{Tenant: t}
	var resource string
	var scopes []string
	if err := row.Scan(&g.ID, &g.ClientID, &g.Subject, &g.Connection, &resource, &scopes, &g.Offline, &g.Generation, &g.Expires, &g.Created); err != nil {
		return nil, err
	}
	var err error
	if g.Resource, err = oauth.ParseResource(resource); err != nil {
		return nil, fmt.Errorf("reading grant: %w", err)
	}
	g.Scopes = oauth.NewScopes(scopes...)
	return &g, nil
}

// claim runs a conditional statement that returns a grant. With an assertion,
// that is used up in the same transaction and the same round trip; one that was
// used before undoes the claim: client.ErrAssertionUsed.
func (db *DB) claim(ctx context.Context, t tenant.ID, a *client.AssertionID, s statement) (*grant.Grant, error) {
	var g *grant.Grant
	statements := []statement{s}
	if a != nil {
		statements = []statement{burn(t, a), s}
	}
	err := db.batch(ctx, t, func(r pgx.BatchResults) (err error) {
		if a != nil {
			if _, err := r.Exec(); err != nil {
				return burnt(err)
			}
		}
		g, err = scanGrant(t, r.QueryRow())
		return err
	}, statements...)
	return g, err
}

// insertGrant writes a grant whose code is not yet redeemed.
func insertGrant(g grant.New) statement {
	return stmt(`INSERT INTO grants (tenant_id, id, client_id, subject_id, connection_id, resource, scopes, offline,
			redirect_uri, code_challenge, code_expires_at, idle_expires_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now() + $11::interval, now() + $12::interval, now() + $13::interval)`,
		g.Tenant.UUID(), g.ID, g.ClientID, g.Subject, g.Connection, g.Resource.String(), g.Scopes.Slice(), g.Offline,
		g.RedirectURI, g.CodeChallenge, g.Lifetimes.Code, g.Lifetimes.RefreshIdle, g.Lifetimes.RefreshAbsolute)
}

// RedeemCode redeems an authorization code: one conditional UPDATE decides
// among concurrent requests (DESIGN §1.4). A wrong client, redirect URI or
// verifier changes nothing. On refusal it returns an error of package grant.
func (db *DB) RedeemCode(ctx context.Context, r grant.Redemption) (*grant.Grant, error) {
	g, err := db.claim(ctx, r.Tenant, r.Assertion, audited(ctx, stmt(`UPDATE grants
		SET redeemed_at = now(), rotated_at = now(), generation = 1, idle_expires_at = now() + $7::interval
		WHERE tenant_id = $1 AND id = $2 AND client_id = $3 AND code_challenge = $4
		  AND ($5 = '' OR redirect_uri = $5) AND ($6 = '' OR resource = $6)
		  AND redeemed_at IS NULL AND revoked_at IS NULL AND code_expires_at > now() AND `+unlessRevokedBefore+`
		RETURNING `+grantColumns,
		r.Tenant.UUID(), r.ID, r.ClientID, r.CodeChallenge, r.RedirectURI, r.Resource.String(), r.RefreshIdle),
		audit.Event{Tenant: r.Tenant, Kind: audit.CodeRedeemed, Actor: audit.Client}, grantRow, "", claimed))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, db.whyNotRedeemed(ctx, r)
	}
	if err != nil {
		return nil, fmt.Errorf("redeeming code: %w", err)
	}
	return g, nil
}

func (db *DB) whyNotRedeemed(ctx context.Context, r grant.Redemption) error {
	var client, challenge, redirect, resource string
	var redeemed, revoked, late bool
	err := db.row(ctx, r.Tenant, stmt(`SELECT client_id, code_challenge, redirect_uri, resource,
			redeemed_at IS NOT NULL, revoked_at IS NOT NULL OR `+revokedBefore+`, coalesce(redeemed_at < now() - $3::interval, false)
		FROM grants WHERE tenant_id = $1 AND id = $2`, r.Tenant.UUID(), r.ID, lateReplay),
		&client, &challenge, &redirect, &resource, &redeemed, &revoked, &late)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return grant.ErrNotFound
	case err != nil:
		return fmt.Errorf("finding why the code was refused: %w", err)
	case client != r.ClientID || challenge != r.CodeChallenge || (r.RedirectURI != "" && redirect != r.RedirectURI):
		return grant.ErrMismatch
	case revoked:
		return grant.ErrRevoked
	case redeemed && late:
		if err := db.revokeGrant(ctx, r.Tenant, r.ID, "code_replayed", audit.ReplayRevoked, audit.Client); err != nil {
			return err
		}
		return grant.ErrRedeemed
	case redeemed:
		return grant.ErrRedeemed
	case !r.Resource.IsZero() && resource != r.Resource.String():
		return grant.ErrWrongResource
	}
	return grant.ErrExpired
}

// A refresh is recorded with the scopes of its access token, and a repeat as one.
var (
	refreshedWhole = grantRow.with("outcome", `CASE WHEN act.replays > 0 THEN 'repeated' ELSE '`+audit.OK+`' END`)
	refreshedRow   = refreshedWhole.without("scopes")
)

// RotateRefresh rotates a refresh token: one conditional UPDATE that moves the
// generation on, or, inside the grace window, counts a repeat of the last
// rotation. Either way the returned generation is the successor's. Reuse
// beyond the window revokes the grant (RFC 9700 §4.14.2). On refusal it
// returns an error of package grant.
func (db *DB) RotateRefresh(ctx context.Context, r grant.Rotation) (*grant.Grant, error) {
	if r.Generation < 1 {
		return nil, grant.ErrNotFound // before the code is redeemed there is no refresh token
	}
	g, err := db.claim(ctx, r.Tenant, r.Assertion, rotateAudited(ctx, r))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, db.whyNotRotated(ctx, r)
	}
	if err != nil {
		return nil, fmt.Errorf("rotating refresh token: %w", err)
	}
	return g, nil
}

func rotateAudited(ctx context.Context, r grant.Rotation) statement {
	e := audit.Event{Tenant: r.Tenant, Kind: audit.Refreshed, Actor: audit.Client, Scopes: r.Scopes.Slice()}
	from := refreshedRow
	if len(e.Scopes) == 0 {
		from = refreshedWhole
	}
	return audited(ctx, rotate(r), e, from, "", claimed)
}

func rotate(r grant.Rotation) statement {
	return stmt(`UPDATE grants
		SET generation = $3 + 1,
		    rotated_at = CASE WHEN generation = $3 THEN now() ELSE rotated_at END,
		    replays = CASE WHEN generation = $3 THEN 0 ELSE replays + 1 END,
		    idle_expires_at = now() + $8::interval
		WHERE tenant_id = $1 AND id = $2 AND client_id = $4 AND ($5 = '' OR resource = $5) AND scopes @> $9
		  AND (NOT $10 OR scopes && $11)
		  AND (generation = $3 OR (generation = $3 + 1 AND rotated_at > now() - $6::interval AND replays < $7))
		  AND offline AND revoked_at IS NULL AND idle_expires_at > now() AND expires_at > now() AND `+unlessRevokedBefore+`
		RETURNING `+grantColumns+`, replays`,
		r.Tenant.UUID(), r.ID, r.Generation, r.ClientID, r.Resource.String(), r.Grace, r.Replays, r.RefreshIdle, r.Scopes.Slice(), r.Limited, r.Limit.Slice())
}

func (db *DB) whyNotRotated(ctx context.Context, r grant.Rotation) error {
	var client, resource string
	var generation int32
	var offline, revoked, expired, scopes, allowed bool
	err := db.row(ctx, r.Tenant, stmt(`SELECT client_id, resource, generation, offline, revoked_at IS NOT NULL OR `+revokedBefore+`,
			idle_expires_at <= now() OR expires_at <= now(), scopes @> $3, NOT $4 OR scopes && $5
		FROM grants WHERE tenant_id = $1 AND id = $2`, r.Tenant.UUID(), r.ID, r.Scopes.Slice(), r.Limited, r.Limit.Slice()),
		&client, &resource, &generation, &offline, &revoked, &expired, &scopes, &allowed)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return grant.ErrNotFound
	case err != nil:
		return fmt.Errorf("finding why the refresh token was refused: %w", err)
	case client != r.ClientID:
		return grant.ErrMismatch
	case revoked:
		return grant.ErrRevoked
	case expired || !offline:
		return grant.ErrExpired
	case !r.Resource.IsZero() && resource != r.Resource.String():
		return grant.ErrWrongResource
	case !scopes:
		return grant.ErrWrongScope
	case !allowed:
		return grant.ErrForbidden
	case generation < r.Generation:
		return grant.ErrNotFound // a generation not issued yet: the database was restored from an older state
	}
	return db.revokeReused(ctx, r)
}

// revokeReused ends a grant whose refresh token was reused. The conditions are
// repeated here: what was read a moment ago may be a parallel rotation by now,
// and a read never decides (DESIGN §1.4).
func (db *DB) revokeReused(ctx context.Context, r grant.Rotation) error {
	n, err := db.exec(ctx, r.Tenant, audited(ctx, stmt(`UPDATE grants
		SET revoked_at = coalesce(revoked_at, now()),
		    revoked_reason = CASE WHEN revoked_at IS NULL THEN 'refresh_token_reused' ELSE revoked_reason END
		WHERE tenant_id = $1 AND id = $2 AND client_id = $3 AND generation > $4
		  AND (generation > $4 + 1 OR rotated_at <= now() - $5::interval OR replays >= $6)
		RETURNING `+grantColumns+`, revoked_at`,
		r.Tenant.UUID(), r.ID, r.ClientID, r.Generation, r.Grace, r.Replays),
		audit.Event{Tenant: r.Tenant, Kind: audit.ReplayRevoked, Actor: audit.Client, Detail: "refresh_token_reused"}, grantRow,
		`act.revoked_at = now()`, count)) // of parallel reuses one revokes
	if err != nil {
		return fmt.Errorf("revoking a reused grant: %w", err)
	}
	if n != 1 {
		return errors.New("rotating refresh token: the grant changed meanwhile") // doubt: the client tries again
	}
	return grant.ErrReused
}

// RevokeGrant ends a grant. Revoking twice keeps the first reason.
func (db *DB) RevokeGrant(ctx context.Context, t tenant.ID, id uuid.UUID, reason string) error {
	return db.revokeGrant(ctx, t, id, reason, audit.GrantRevoked, audit.FromContext(ctx).ActorOr(audit.System))
}

func (db *DB) revokeGrant(ctx context.Context, t tenant.ID, id uuid.UUID, reason string, kind audit.Kind, actor audit.Actor) error {
	_, err := db.exec(ctx, t, audited(ctx, stmt(`UPDATE grants SET revoked_at = now(), revoked_reason = $3
		WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL RETURNING `+grantColumns, t.UUID(), id, reason),
		audit.Event{Tenant: t, Kind: kind, Actor: actor, Detail: reason}, grantRow, "", count))
	if err != nil {
		return fmt.Errorf("revoking grant: %w", err)
	}
	return nil
}

// endingGrants ends grants. which selects them as g; $1 is the tenant and $2 the
// reason. They are locked in the order of their ids before any is changed, as
// whoever ends several might otherwise wait for each other.
func endingGrants(t tenant.ID, reason, which string, args ...any) statement {
	return stmt(`UPDATE grants SET revoked_at = now(), revoked_reason = $2
		WHERE tenant_id = $1 AND id = ANY(ARRAY(SELECT g.id FROM grants g WHERE g.tenant_id = $1 AND g.revoked_at IS NULL AND (`+which+`) ORDER BY g.id FOR UPDATE))
		RETURNING `+grantColumns, append([]any{t.UUID(), reason}, args...)...)
}

// RevokeClientGrant ends a grant of a client (RFC 7009 §2.1). It returns
// grant.ErrNotFound when there is no such grant, and grant.ErrMismatch when it
// is another client's. Revoking twice is no error and keeps the first reason.
func (db *DB) RevokeClientGrant(ctx context.Context, t tenant.ID, id uuid.UUID, clientID string) error {
	var owner string
	err := db.row(ctx, t, audited(ctx, stmt(`UPDATE grants SET revoked_at = now(), revoked_reason = 'client_request'
			WHERE tenant_id = $1 AND id = $2 AND client_id = $3 AND revoked_at IS NULL RETURNING `+grantColumns, t.UUID(), id, clientID),
		audit.Event{Tenant: t, Kind: audit.GrantRevoked, Actor: audit.Client, Detail: "client_request"}, grantRow, "",
		`SELECT client_id FROM grants WHERE tenant_id = $1 AND id = $2`), &owner)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return grant.ErrNotFound
	case err != nil:
		return fmt.Errorf("revoking grant: %w", err)
	case owner != clientID:
		return grant.ErrMismatch
	}
	return nil
}

// OwnTokenEnded reports whether a mass revocation ended what a client got for
// itself at a time, in seconds, as resource servers decide it (revocation.Follower).
// No row is marked for such a token, so closed epochs count too: they are kept
// longer than any token lives.
func (db *DB) OwnTokenEnded(ctx context.Context, t tenant.ID, clientID string, issued time.Time) (bool, error) {
	var ended bool
	err := db.row(ctx, t, stmt(`SELECT EXISTS (SELECT FROM revocation_epochs e WHERE e.tenant_id = $1 AND e.subject_id IS NULL AND (e.client_id = '' OR e.client_id = $2)
		AND e.revoked_before >= $3)`, t.UUID(), clientID, issued), &ended)
	if err != nil {
		return false, fmt.Errorf("reading epochs: %w", err)
	}
	return ended, nil
}

var grantState = `SELECT ` + grantColumns + `, rotated_at, least(idle_expires_at, expires_at) FROM grants
	WHERE tenant_id = $1 AND id = $2 AND redeemed_at IS NOT NULL AND revoked_at IS NULL AND expires_at > now() AND ` + unlessRevokedBefore

// GrantState reads a redeemed grant for introspection. It returns
// grant.ErrNotFound when there is none that lives.
func (db *DB) GrantState(ctx context.Context, t tenant.ID, id uuid.UUID) (*grant.State, error) {
	s := grant.State{}
	err := db.batch(ctx, t, func(r pgx.BatchResults) error {
		var resource string
		var scopes []string
		if err := r.QueryRow().Scan(&s.ID, &s.ClientID, &s.Subject, &s.Connection, &resource, &scopes, &s.Offline, &s.Generation, &s.Expires, &s.Created, &s.RotatedAt, &s.RefreshExpires); err != nil {
			return err
		}
		var err error
		s.Tenant, s.Scopes = t, oauth.NewScopes(scopes...)
		s.Resource, err = oauth.ParseResource(resource)
		return err
	}, stmt(grantState, t.UUID(), id))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, grant.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading grant: %w", err)
	}
	return &s, nil
}
