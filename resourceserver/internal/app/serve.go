package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"latchkey/pkg/accesstoken"
	"latchkey/pkg/exchange"
	"latchkey/pkg/httpx"
	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/account"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/calendar"
	"latchkey/resourceserver/internal/chat"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/contacts"
	"latchkey/resourceserver/internal/credential"
	"latchkey/resourceserver/internal/docs"
	"latchkey/resourceserver/internal/download"
	"latchkey/resourceserver/internal/drive"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/filetext"
	"latchkey/resourceserver/internal/forms"
	"latchkey/resourceserver/internal/gmail"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/meet"
	"latchkey/resourceserver/internal/outcome"
	"latchkey/resourceserver/internal/ratelimit"
	"latchkey/resourceserver/internal/resource"
	"latchkey/resourceserver/internal/revocation"
	"latchkey/resourceserver/internal/seal"
	"latchkey/resourceserver/internal/sheets"
	"latchkey/resourceserver/internal/signedlink"
	"latchkey/resourceserver/internal/slides"
	"latchkey/resourceserver/internal/tasks"
	"latchkey/resourceserver/internal/tool"
	"latchkey/resourceserver/internal/upload"
)

const (
	resourceName = "Latchkey: Google Workspace"
	lastReport   = 3 * time.Second // for what is not reported when the server ends
)

// server is everything that serves.
type server struct {
	shared
	config    *config.Server
	tools     []*tool.Tool
	direct    *http.Client
	downloads *download.Handler
	uploads   *upload.Handler
	keys      *accesstoken.RemoteKeys // of the issuer in the settings
	revoked   *revocation.Follower
	tenants   *resource.Follower
	table     atomic.Pointer[table]
	outcomes  *outcome.Reporter
}

// Serve builds the server and runs it until ctx ends.
func Serve(ctx context.Context, c *config.Server, log *slog.Logger) error {
	public := &httpx.Server{Name: "public", Setting: "RS_LISTEN", Addr: c.Listen}
	s, err := build(c, log)
	if err != nil {
		return err
	}
	if err := public.Listen(); err != nil {
		return err
	}
	public.Handler = s.routes(log)
	// Have the keys before the first client comes; if the authorization server is
	// not there yet, the first request or readiness check fetches them.
	go func() { _ = s.keys.Ready(ctx) }()
	go s.revoked.Run(ctx)
	go s.tenants.Run(ctx)
	go s.outcomes.Run(ctx)
	err = httpx.Serve(ctx, log, public)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastReport)
	defer cancel()
	if flushErr := s.outcomes.Flush(last); flushErr != nil {
		log.Warn("the last tool outcomes were not reported", "error", flushErr)
	}
	return err
}

// New builds the whole handler, for a listener of the caller's, follows the
// feeds of revocations and of tenants, and reports outcomes, until ctx ends.
func New(ctx context.Context, c *config.Server, log *slog.Logger) (http.Handler, error) {
	s, err := build(c, log)
	if err != nil {
		return nil, err
	}
	go s.revoked.Run(ctx)
	go s.tenants.Run(ctx)
	go s.outcomes.Run(ctx)
	return s.routes(log), nil
}

// build connects the parts.
func build(c *config.Server, log *slog.Logger) (*server, error) {
	key, err := credential.LoadKey(c.RSKeyFile)
	if err != nil {
		return nil, err
	}
	// The internal network has no proxy, and a token must not pass one.
	direct := http.DefaultTransport.(*http.Transport).Clone()
	direct.Proxy, direct.MaxIdleConnsPerHost = nil, 50
	if direct.TLSClientConfig, err = internalTLS(c); err != nil {
		return nil, err
	}
	s := &server{config: c, keys: &accesstoken.RemoteKeys{URL: c.JWKSURL}, direct: &http.Client{Transport: direct, Timeout: exchange.Timeout}}
	client, err := exchange.NewClient(exchange.ClientConfig{Endpoint: c.ASInternalURL + exchange.Path, ClientID: c.RSClientID, Key: key, HTTP: s.direct})
	if err != nil {
		return nil, err
	}
	sealKeys, err := seal.New(key)
	if err != nil {
		return nil, err
	}
	elicitor, err := elicit.New(sealKeys, client, nil)
	if err != nil {
		return nil, err
	}
	credentials := credential.New(client, nil)
	s.revoked = revocation.New(revocation.Config{Feed: client, Revoked: credentials.Drop, Log: log})
	s.outcomes = outcome.New(client, log)
	downloads, err := download.NewLinks(sealKeys, nil)
	if err != nil {
		return nil, err
	}
	uploads, err := upload.NewLinks(sealKeys, nil)
	if err != nil {
		return nil, err
	}
	quotaUsers, err := seal.NewNames(sealKeys, "Google quota user")
	if err != nil {
		return nil, err
	}
	api := &googleapi.API{Transport: googleapi.NewOpener(googleapi.NewTransport()), Credentials: credentials, QuotaUsers: quotaUsers, BaseURL: c.GoogleAPIURL}
	reader := filetext.New()
	mail := &gmail.Gmail{API: api, Links: downloads, Files: reader}
	files := &drive.Drive{API: api, Links: downloads, Uploads: uploads, Files: reader}
	if s.tools, err = allTools(c.ToolPreset, api, credentials, client, mail, files); err != nil {
		return nil, err
	}
	if c.RateLimitScale == 0 {
		log.Warn("there are no rate limits (RATE_LIMIT_SCALE is 0): one person can use up Google's quota for everyone")
	}
	s.shared = shared{limits: ratelimit.New(c.RateLimitScale, nil), elicit: elicitor, policy: c.Policy, revoked: s.revoked.Revoked, called: s.outcomes.Record, loopbackHosts: c.ListenLoopback, log: log}
	s.tenants = resource.New(resource.Config{Feed: client, Base: c.ASInternalURL, Changed: s.follow, Log: log})
	first, err := s.tableOf(nil, newTable())
	if err != nil {
		return nil, err
	}
	s.table.Store(first)
	if s.downloads, err = download.New(downloads, s.links(), map[string]download.Source{gmail.AttachmentTool: mail.Attachment, drive.FileTool: files.File}); err != nil {
		return nil, err
	}
	s.uploads, err = upload.New(uploads, s.links(), map[string]upload.Source{drive.UploadTool: files.Receive})
	return s, err
}

// links are the rules of what tools promised by a link. Which tools a resource
// has, and who may use them, is the endpoint's business, as it is for a call.
func (s *server) links() signedlink.Rules {
	return signedlink.Rules{
		Limits: s.limits, Called: s.called,
		// A tenant's links work under its own host only: what a browser is given
		// there is that tenant's (DESIGN §1.3).
		Admit: func(ctx context.Context, host string, p signedlink.Presented) (context.Context, *bearer.Refusal, bool) {
			t := s.table.Load()
			e, ok := t.of[p.Resource()]
			if !ok || !t.answers(e, host) {
				return nil, nil, false
			}
			admitted, refusal := p.Redeem(ctx, e.guard)
			return admitted, refusal, true
		},
		Tool: func(at, name string) *tool.Tool {
			if e, ok := s.table.Load().of[at]; ok {
				return e.tools[name]
			}
			return nil
		},
	}
}

// internalTLS is how this server shows itself at the internal listener, and whom
// it believes there (RFC 8705 §2). A changed certificate is used for the next
// connection.
func internalTLS(c *config.Server) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.InternalCA}
	if c.TLSCert == "" {
		return out, nil
	}
	own, err := httpx.LoadKeyPair(c.TLSCert, c.TLSKey, nil)
	if err != nil {
		return nil, fmt.Errorf("RS_INTERNAL_TLS_CERT_FILE: %w", err)
	}
	out.MinVersion = tls.VersionTLS13
	out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own.Certificate(), nil }
	return out, nil
}

// allTools are the preset's tools of every product, sorted by name: MCP wants a
// deterministic order (2026-07-28, changelog).
func allTools(preset tool.Preset, api *googleapi.API, credentials *credential.Credentials, accounts account.Lister, mail *gmail.Gmail, files *drive.Drive) ([]*tool.Tool, error) {
	var all []*tool.Tool
	for _, product := range []func() ([]*tool.Tool, error){
		func() ([]*tool.Tool, error) { return calendar.Tools(api, nil) },
		func() ([]*tool.Tool, error) { return chat.Tools(api) },
		func() ([]*tool.Tool, error) { return contacts.Tools(api) },
		func() ([]*tool.Tool, error) { return docs.Tools(api) },
		files.Tools,
		func() ([]*tool.Tool, error) { return forms.Tools(api) },
		func() ([]*tool.Tool, error) { return meet.Tools(api) },
		func() ([]*tool.Tool, error) { return tasks.Tools(api) },
		mail.Tools,
		func() ([]*tool.Tool, error) { return sheets.Tools(api) },
		func() ([]*tool.Tool, error) { return slides.Tools(api) },
	} {
		tools, err := product()
		if err != nil {
			return nil, fmt.Errorf("making tools: %w", err)
		}
		all = append(all, tools...)
	}
	all = slices.DeleteFunc(all, func(t *tool.Tool) bool { return !preset.Admits(t) })
	offered := oauth.NewScopes("accounts")
	for _, t := range all {
		offered = offered.Union(t.Scopes)
	}
	tools, err := account.Tools(credentials, accounts, offered)
	if err != nil {
		return nil, fmt.Errorf("making tools: %w", err)
	}
	all = append(all, tools...)
	slices.SortFunc(all, func(a, b *tool.Tool) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all, nil
}
