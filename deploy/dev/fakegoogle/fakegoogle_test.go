package fakegoogle_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/api/calendar/v3"
	"google.golang.org/api/drive/v3"
	"google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/deploy/dev/fakegoogle/discovery"
)

const auth = "https://www.googleapis.com/auth/"

// rig is a stand-in with one client, driven by Google's own libraries.
type rig struct {
	*fakegoogle.Running
	config   oauth2.Config
	verifier string
}

func start(t *testing.T) *rig {
	t.Helper()
	const redirect = "http://127.0.0.1:1/cb"
	s := fakegoogle.Start(t, fakegoogle.Config{Clients: []fakegoogle.Client{{ID: "id", Secret: "sec", RedirectURIs: []string{redirect}}}})
	return &rig{s, oauth2.Config{
		ClientID: "id", ClientSecret: "sec", RedirectURL: redirect, Scopes: []string{"openid", "email", auth + "gmail.readonly", auth + "drive.readonly", auth + "calendar.events.readonly"},
		Endpoint: oauth2.Endpoint{AuthURL: s.URL + "/o/oauth2/v2/auth", TokenURL: s.URL + "/token"},
	}, oauth2.GenerateVerifier()}
}

func (r *rig) visit(t *testing.T, c fakegoogle.Choice, options ...oauth2.AuthCodeOption) url.Values {
	t.Helper()
	options = append(options, oauth2.S256ChallengeOption(r.verifier))
	back, err := fakegoogle.SignIn(t.Context(), r.config.AuthCodeURL("st", options...), c)
	if err != nil {
		t.Fatal(err)
	}
	if back.Query().Get("state") != "st" {
		t.Fatal("state was not returned")
	}
	return back.Query()
}

func (r *rig) signIn(t *testing.T, c fakegoogle.Choice, options ...oauth2.AuthCodeOption) *oauth2.Token {
	t.Helper()
	token, err := r.config.Exchange(t.Context(), r.visit(t, c, options...).Get("code"), oauth2.VerifierOption(r.verifier))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (r *rig) client(token *oauth2.Token) option.ClientOption {
	return option.WithHTTPClient(oauth2.NewClient(context.Background(), oauth2.StaticTokenSource(token)))
}

func code(err error) string {
	var e *oauth2.RetrieveError
	if errors.As(err, &e) {
		return e.ErrorCode
	}
	return ""
}

// TestCodeFlow: PKCE, single-use codes, refresh token only for offline access and a fresh consent, as Google does.
func TestCodeFlow(t *testing.T) {
	t.Parallel()
	r := start(t)
	q := r.visit(t, fakegoogle.Choice{}, oauth2.AccessTypeOffline)
	if _, err := r.config.Exchange(t.Context(), q.Get("code"), oauth2.VerifierOption(oauth2.GenerateVerifier())); code(err) != "invalid_grant" {
		t.Errorf("wrong verifier: %v", err)
	}
	first, err := r.config.Exchange(t.Context(), q.Get("code"), oauth2.VerifierOption(r.verifier))
	if err != nil || first.RefreshToken == "" || first.Extra("id_token") == nil {
		t.Fatal("no refresh or ID token at the first consent", err)
	}
	if _, err := r.config.Exchange(t.Context(), q.Get("code"), oauth2.VerifierOption(r.verifier)); code(err) != "invalid_grant" {
		t.Errorf("code replay: %v", err)
	}
	if again := r.signIn(t, fakegoogle.Choice{}, oauth2.AccessTypeOffline); again.RefreshToken != "" {
		t.Error("a refresh token without a fresh consent")
	}
	if forced := r.signIn(t, fakegoogle.Choice{}, oauth2.AccessTypeOffline, oauth2.SetAuthURLParam("prompt", "consent")); forced.RefreshToken == "" {
		t.Error("no refresh token after prompt=consent")
	}
	if online := r.signIn(t, fakegoogle.Choice{Account: "bob@example.com"}); online.RefreshToken != "" {
		t.Error("a refresh token without offline access")
	}
	if q := r.visit(t, fakegoogle.Choice{Account: "carol@outsider.test", Deny: true}); q.Get("error") != "access_denied" {
		t.Error("deny:", q)
	}
	source := r.config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: first.RefreshToken})
	if _, err := source.Token(); err != nil {
		t.Error(err)
	}
	r.RevokeUser("alice@example.com")
	if _, err := r.config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: first.RefreshToken}).Token(); code(err) != "invalid_grant" {
		t.Errorf("refresh after revocation: %v", err)
	}
}

// TestPartialConsent: an unticked scope is not granted, in the answer and at the API.
func TestPartialConsent(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.signIn(t, fakegoogle.Choice{Untick: []string{auth + "drive.readonly"}})
	if s, _ := token.Extra("scope").(string); strings.Contains(s, "drive") || !strings.Contains(s, "gmail.readonly") {
		t.Error(s)
	}
	d, err := drive.NewService(t.Context(), r.client(token), option.WithEndpoint(r.URL+"/drive/v3/"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Files.List().Context(t.Context()).Do()
	var e *googleapi.Error
	if !errors.As(err, &e) || e.Code != 403 || e.Errors[0].Reason != "insufficientPermissions" {
		t.Error(err)
	}
}

// TestOfficialClientsRead: Gmail, Drive and Calendar through Google's generated clients, with masks and pages.
func TestOfficialClientsRead(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.signIn(t, fakegoogle.Choice{})
	g, err := gmail.NewService(t.Context(), r.client(token), option.WithEndpoint(r.URL+"/"))
	if err != nil {
		t.Fatal(err)
	}
	threads, err := g.Users.Threads.List("me").Q("subject:budget").Fields("threads(id),nextPageToken").Do(googleapi.QuotaUser("q"))
	if err != nil || len(threads.Threads) != 1 || threads.Threads[0].Snippet != "" {
		t.Fatal("threads:", threads, err)
	}
	thread, err := g.Users.Threads.Get("me", threads.Threads[0].Id).Do()
	if err != nil || len(thread.Messages) != 3 {
		t.Error("thread:", thread, err)
	}
	seen := map[string]bool{}
	if err := g.Users.Messages.List("me").MaxResults(7).Pages(t.Context(), func(p *gmail.ListMessagesResponse) error {
		for _, m := range p.Messages {
			if seen[m.Id] {
				t.Error("a message on two pages")
			}
			seen[m.Id] = true
		}
		return nil
	}); err != nil || len(seen) != 35 {
		t.Error("messages:", len(seen), err)
	}
	d, err := drive.NewService(t.Context(), r.client(token), option.WithEndpoint(r.URL+"/drive/v3/"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := d.Files.List().Q("name contains 'bud' and trashed = false").Do()
	if err != nil || len(files.Files) != 1 {
		t.Error("files:", files, err)
	}
	c, err := calendar.NewService(t.Context(), r.client(token), option.WithEndpoint(r.URL+"/calendar/v3/"))
	if err != nil {
		t.Fatal(err)
	}
	events, err := c.Events.List("primary").SingleEvents(true).OrderBy("startTime").TimeMin(time.Now().Format(time.RFC3339)).Do()
	if err != nil || len(events.Items) < 3 || events.Items[0].Summary != "Stand-up" {
		t.Error("events:", events, err)
	}
}

// TestUnknownTokenIsRefused: expired, revoked and invented tokens are 401, in Google's form.
func TestUnknownTokenIsRefused(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.signIn(t, fakegoogle.Choice{})
	r.ExpireAccessTokens()
	for _, value := range []string{"", "ya29.invented", token.AccessToken} {
		g, err := gmail.NewService(t.Context(), r.client(&oauth2.Token{AccessToken: value}), option.WithEndpoint(r.URL+"/"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.Users.GetProfile("me").Do()
		var e *googleapi.Error
		if !errors.As(err, &e) || e.Code != 401 {
			t.Errorf("%v", err)
		}
	}
}

// TestFaults: every switch does what it says, and stops.
func TestFaults(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.signIn(t, fakegoogle.Choice{})
	g, err := gmail.NewService(t.Context(), r.client(token), option.WithEndpoint(r.URL+"/"))
	if err != nil {
		t.Fatal(err)
	}
	r.Inject(fakegoogle.Fault{Prefix: "/gmail/", Status: 403, Code: "rateLimitExceeded", Times: 1})
	_, err = g.Users.GetProfile("me").Do()
	var e *googleapi.Error
	if !errors.As(err, &e) || e.Code != 403 || e.Errors[0].Reason != "rateLimitExceeded" {
		t.Error(err)
	}
	clear := r.Inject(fakegoogle.Fault{Prefix: "/gmail/", Reset: true})
	if _, err := g.Users.GetProfile("me").Do(); err == nil || errors.As(err, &e) && e.Code == 200 {
		t.Error("reset:", err)
	}
	clear()
	// held begins a call and returns when the fault has it.
	held := func(ctx context.Context) <-chan error {
		before, answered := r.Count("held"), make(chan error, 1)
		go func() {
			_, err := g.Users.GetProfile("me").Context(ctx).Do()
			answered <- err
		}()
		for r.Count("held") == before {
			if len(answered) > 0 {
				t.Fatal("not held:", <-answered)
			}
			time.Sleep(time.Millisecond) // the other side of a real HTTP call
		}
		return answered
	}
	r.Inject(fakegoogle.Fault{Prefix: "/gmail/", Hang: true, Times: 1})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	hung := held(ctx)
	leave()
	if err := <-hung; !errors.Is(err, context.Canceled) {
		t.Error("hang:", err)
	}
	hold := make(chan struct{})
	r.Inject(fakegoogle.Fault{Prefix: "/gmail/", Hold: hold, Times: 1})
	answered := held(t.Context())
	close(hold)
	if err := <-answered; err != nil {
		t.Error("hold:", err)
	}
	r.Inject(fakegoogle.Fault{Prefix: "/token", Status: 400, Code: "invalid_grant", Subtype: "invalid_rapt", Times: 1})
	var re *oauth2.RetrieveError
	if _, err := r.config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: "x"}).Token(); !errors.As(err, &re) || !bytes.Contains(re.Body, []byte("invalid_rapt")) {
		t.Error("subtype:", err)
	}
	if _, err := g.Users.GetProfile("me").Do(); err != nil {
		t.Error("after the faults:", err)
	}
}

// TestScopesAreGooglesOwn: each implemented method refuses a token that has none of its scopes, by Discovery's list.
func TestScopesAreGooglesOwn(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.config.Scopes = []string{"openid"}
	token := r.signIn(t, fakegoogle.Choice{})
	methods, err := discovery.Read()
	if err != nil {
		t.Fatal(err)
	}
	implemented := fakegoogle.Implemented()
	checked := 0
	for _, m := range methods {
		if !slices.Contains(implemented, m.ID) {
			continue
		}
		checked++
		path := strings.NewReplacer("{", "", "}", "", "+", "").Replace(m.Path)
		req, err := http.NewRequestWithContext(t.Context(), m.Verb, r.URL+"/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token.AccessToken)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 403 {
			t.Errorf("%s: %d", m.ID, resp.StatusCode)
		}
	}
	if checked != len(implemented) {
		t.Errorf("%d of %d implemented methods are in Discovery", checked, len(implemented))
	}
}

// TestMethodTableIsCurrent: the committed table is what the module's Discovery documents say.
func TestMethodTableIsCurrent(t *testing.T) {
	t.Parallel()
	methods, err := discovery.Read()
	if err != nil {
		t.Fatal(err)
	}
	want, err := discovery.Encode(methods)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("methods.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, have) {
		t.Error("methods.json differs from the Discovery documents: run go generate ./fakegoogle")
	}
}
