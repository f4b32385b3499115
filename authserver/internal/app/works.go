package app

import (
	"context"
	"errors"
	"time"

	"latchkey/authserver/internal/job"
	"latchkey/authserver/internal/keyset"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/postgres"
	"latchkey/authserver/internal/rewrap"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/vault"
)

// noteEvery is how often progress of long work is written down.
const noteEvery = time.Second

// whyWorkFails classes the errors of works.
func whyWorkFails(err error) job.Failure {
	switch {
	case errors.Is(err, vault.ErrWrongKEK):
		return job.WrongKEK
	case errors.Is(err, vault.ErrKEKRefused):
		return job.KEKRefused
	case errors.Is(err, vault.ErrKEKAway):
		return job.KEKAway
	case errors.Is(err, context.DeadlineExceeded):
		return job.TimedOut
	}
	return job.Internal
}

// works are the kinds of long work, each done as by its command.
func works(db *postgres.DB, key *vault.KEK, v *vault.Vault) map[job.Kind]job.Work {
	return map[job.Kind]job.Work{
		job.Rewrap: func(ctx context.Context, t tenant.ID, report func(any)) (any, error) {
			// A vault of its own, as in the command: that of the server may take a data
			// key for the active one that was retired a moment ago.
			own, err := vault.New(vault.Config{KEK: key, Store: db})
			if err != nil {
				return nil, err
			}
			var noted time.Time
			r := rewrap.Run{Store: db, KEK: key, Vault: own, Report: func(p rewrap.Progress) {
				if time.Since(noted) >= noteEvery {
					noted = time.Now()
					report(p)
				}
			}}
			return r.Tenant(ctx, t)
		},
		job.Verify: func(ctx context.Context, t tenant.ID, _ func(any)) (any, error) {
			keys, err := (&keyset.Operator{Store: db, Vault: v}).PublicKeys(ctx, t)
			if err != nil {
				return nil, err
			}
			return (&operator.Operator{Store: db}).VerifyAudit(ctx, t, keys)
		},
	}
}
