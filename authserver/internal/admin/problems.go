package admin

import (
	"errors"
	"net/http"

	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/job"
	"latchkey/authserver/internal/operator"
	"latchkey/authserver/internal/tenancy"
	"latchkey/authserver/internal/web"
)

func bad(detail string, cause error) error {
	return &web.ProblemError{Status: http.StatusBadRequest, Code: "bad_request", Detail: detail, Cause: cause}
}

func forbidden(code, detail string) error {
	return &web.ProblemError{Status: http.StatusForbidden, Code: code, Detail: detail}
}

func notFound(detail string) error {
	return &web.ProblemError{Status: http.StatusNotFound, Code: "not_found", Detail: detail}
}

// problemOf is what an error of the functions behind the routes means here.
// Whatever it does not know is left: doubt, 503.
func problemOf(err error) error {
	of := func(status int, code, detail string) error {
		return &web.ProblemError{Status: status, Code: code, Detail: detail, Cause: err}
	}
	var invalid *tenancy.InvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return of(http.StatusUnprocessableEntity, "invalid", invalid.Error())
	case errors.Is(err, tenancy.ErrTaken):
		return of(http.StatusConflict, "taken", "Slug, host or resource belong to another tenant.")
	case errors.Is(err, tenancy.ErrChanged):
		return of(http.StatusConflict, "changed", "The tenant was changed meanwhile. Read it again.")
	case errors.Is(err, job.ErrOtherKEK):
		return of(http.StatusConflict, "other_kek", "A server is at this for another key-encryption key. Give every server the same one, wait until it is finished, then ask again.")
	case errors.Is(err, tenancy.ErrNotSuspended):
		return of(http.StatusConflict, "not_suspended", "The tenant is not suspended. Suspend it first.")
	case errors.Is(err, tenancy.ErrNotFound), errors.Is(err, operator.ErrNotFound), errors.Is(err, erasure.ErrNoSubject), errors.Is(err, job.ErrNotFound):
		return of(http.StatusNotFound, "not_found", "The tenant has no such thing.")
	}
	return err
}
