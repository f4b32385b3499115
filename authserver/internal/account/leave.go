package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"latchkey/authserver/internal/audit"
	"latchkey/authserver/internal/connection"
	"latchkey/authserver/internal/erasure"
	"latchkey/authserver/internal/session"
	"latchkey/authserver/internal/tenant"
	"latchkey/authserver/internal/web"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
)

// The word that confirms an erasure, typed by hand.
const eraseWord = "erase"

// eraseLimit bounds a person's erasure with the wait for Google. It goes on when
// the browser goes away.
const eraseLimit = 30 * time.Second

// Leaver gives people what is stored of them, and erases them.
type Leaver interface {
	Export(ctx context.Context, t tenant.ID, subject uuid.UUID) ([]byte, error)
	// Erase changes nothing when it returns an error.
	Erase(ctx context.Context, t tenant.ID, subject uuid.UUID, code [sha256.Size]byte) (*erasure.Erasure, error)
	ErasureOfCode(ctx context.Context, t tenant.ID, code [sha256.Size]byte) (*erasure.Erasure, error)
}

// Export serves POST /account/export: what is stored of the person, as a file.
func (h *Handler) Export(w http.ResponseWriter, r *http.Request) error {
	q, err := h.signedIn(w, r)
	if err != nil {
		return err
	}
	doc, err := h.Leaver.Export(r.Context(), q.t.ID, q.s.Subject)
	if err != nil {
		return oauth.Unavailable(err)
	}
	return attach(w, "application/json", "latchkey-account.json", doc)
}

// attach answers with a file that no browser shows or keeps. The headers of a page
// are set already: nosniff and no-store among them.
func attach(w http.ResponseWriter, contentType, name string, content []byte) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(content)
	return nil
}

// ErasePage serves GET /account/erase: what an erasure does.
func (h *Handler) ErasePage(w http.ResponseWriter, r *http.Request) error {
	t := tenant.FromContext(r.Context())
	s, err := h.Sessions.Current(r, t)
	if errors.Is(err, session.ErrNone) {
		return h.renderSignIn(w, r, t, "")
	}
	if err != nil {
		return err
	}
	view := struct {
		Base, Token, Word string
		Days              int
	}{t.Issuer.Path() + Path, s.FormToken(accountForm), eraseWord, int(connection.RevocationGivesUp.Hours() / 24)}
	return web.Render(w, http.StatusOK, "erase.html", view, nil)
}

// Erase serves POST /account/erase, for who has typed the word.
func (h *Handler) Erase(w http.ResponseWriter, r *http.Request) error {
	q, err := h.signedIn(w, r)
	if err != nil {
		return err
	}
	if !strings.EqualFold(strings.TrimSpace(q.form.Get("word")), eraseWord) {
		return &web.PageError{Status: http.StatusBadRequest, Title: "Nothing was erased", Advice: fmt.Sprintf("To erase your account, type the word “%s”. Go back and try again.", eraseWord)}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), eraseLimit)
	defer cancel()
	by := audit.FromContext(ctx)
	by.Actor = audit.Person
	ctx = audit.WithRequest(ctx, by)
	code := secret.Random()
	done, err := h.Leaver.Erase(ctx, q.t.ID, q.s.Subject, sha256.Sum256([]byte(code)))
	if err != nil {
		return oauth.Unavailable(err)
	}
	httpx.Annotate(r.Context(), slog.Bool("erased", done.Receipt != ""), slog.Int("waiting_at_google", done.Waiting))
	h.Sessions.Forget(w, q.t)
	return seeOther(w, q.t, erasurePath+code)
}

const erasurePath = Path + "/erasure/"

// Erasure serves GET /account/erasure/<code>: how far the erasure is, for who
// holds its code. There is no session any more.
func (h *Handler) Erasure(w http.ResponseWriter, r *http.Request) error {
	e, err := h.erasure(r)
	if err != nil {
		return err
	}
	view := struct {
		Receipt     string // where it is; "": not yet
		Unconfirmed bool
		Until, Kept string
	}{Unconfirmed: e.Google == erasure.GoogleUnconfirmed, Until: day(e.Since.Add(connection.RevocationGivesUp)), Kept: day(e.Since.Add(erasure.ReceiptKept))}
	if e.Receipt != "" {
		view.Receipt = tenant.FromContext(r.Context()).Issuer.Path() + erasurePath + r.PathValue("code") + "/receipt"
	}
	return web.Render(w, http.StatusOK, "erased.html", view, nil)
}

func day(at time.Time) string { return at.UTC().Format("2 January 2006") }

// ErasureReceipt serves GET /account/erasure/<code>/receipt.
func (h *Handler) ErasureReceipt(w http.ResponseWriter, r *http.Request) error {
	e, err := h.erasure(r)
	if err != nil {
		return err
	}
	if e.Receipt == "" {
		return noErasure(nil)
	}
	return attach(w, "application/"+erasure.ReceiptType, "latchkey-erasure-receipt.jwt", []byte(e.Receipt+"\n"))
}

func (h *Handler) erasure(r *http.Request) (*erasure.Erasure, error) {
	code := r.PathValue("code")
	if !secret.IsRandom(code) {
		return nil, noErasure(nil)
	}
	e, err := h.Leaver.ErasureOfCode(r.Context(), tenant.FromContext(r.Context()).ID, sha256.Sum256([]byte(code)))
	if errors.Is(err, erasure.ErrNoSubject) {
		return nil, noErasure(err)
	}
	if err != nil {
		return nil, oauth.Unavailable(err)
	}
	return e, nil
}

func noErasure(cause error) error {
	return &web.PageError{Status: http.StatusNotFound, Title: "There is no receipt here", Advice: "The receipt of an erasure can be fetched for 30 days, from the page that is shown after it.", Cause: cause}
}
