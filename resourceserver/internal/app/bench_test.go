package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"golang.org/x/oauth2"
	"google.golang.org/api/drive/v3"
	api "google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/pkg/accesstoken"
	"latchkey/pkg/oauth"
	"latchkey/pkg/secret"
	"latchkey/resourceserver/internal/app"
	"latchkey/resourceserver/internal/bearer"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/tool"
)

// benched is a rig as it runs in production: the log is written at its usual
// level, and every limit is counted but none is reached.
func benched(b *testing.B, more ...*tool.Tool) (*rig, string) {
	b.Helper()
	r := start(b, func(c *config.Server) { c.RateLimitScale = 1e6 })
	h, err := app.NewWith(b.Context(), r.settings, slog.New(slog.NewJSONHandler(io.Discard, nil)), more...)
	if err != nil {
		b.Fatal(err)
	}
	s := httptest.NewServer(h)
	b.Cleanup(s.Close)
	return r, s.URL + "/mcp"
}

type echoInput struct {
	Text string `json:"text" jsonschema:"what comes back" limit:"maxlen=100"`
}

type echoOutput struct {
	Text string `json:"text"`
}

// echo does nothing, so that what is measured is the way to a tool and back.
func echo(b *testing.B) *tool.Tool {
	b.Helper()
	t, err := tool.New(tool.Description{Name: "account_echo", Title: "Echo", Description: "Returns text.", Scopes: oauth.NewScopes("accounts"), Hints: tool.Read},
		func(_ context.Context, in echoInput) (tool.Output[echoOutput], error) {
			return tool.Output[echoOutput]{Value: echoOutput(in), Text: in.Text}, nil
		})
	if err != nil {
		b.Fatal(err)
	}
	return t
}

// caller is a request's context with the principal of another's.
type caller struct {
	context.Context
	person context.Context
}

func (c caller) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.person.Value(key)
}

// bare is mcp-go alone, in the mode in which the resource server uses it, with the
// same tool: no guard, no limits, no log, no reports; one person who calls.
func bare(b *testing.B, r *rig, t *tool.Tool) string {
	b.Helper()
	verifier, err := accesstoken.NewVerifier(accesstoken.VerifierConfig{Issuer: r.settings.Issuer, Audience: r.settings.Resource, Keys: &accesstoken.RemoteKeys{URL: r.settings.JWKSURL}})
	if err != nil {
		b.Fatal(err)
	}
	guard, err := bearer.New(bearer.Config{Resource: r.settings.Resource, Verifier: verifier, Required: func(string, string) (string, oauth.Scopes, bool) { return "", oauth.Scopes{}, false }})
	if err != nil {
		b.Fatal(err)
	}
	person, refusal := guard.Redeem(b.Context(), secret.NewText(r.as.mint(all)))
	if refusal != nil {
		b.Fatal(refusal.Sentence)
	}
	m := server.NewMCPServer("bare", "1", server.WithToolCapabilities(false))
	m.AddTool(t.MCP(), func(ctx context.Context, call mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		arguments, _ := call.GetRawArguments().(json.RawMessage)
		result, _ := t.Call(caller{ctx, person}, arguments)
		return result, nil
	})
	s := httptest.NewServer(server.NewStreamableHTTPServer(m, server.WithStateLess(true), server.WithDisableStreaming(true)))
	b.Cleanup(s.Close)
	return s.URL
}

// poster sends prepared requests over connections that stay open.
type poster struct{ client *http.Client }

func newPoster(b *testing.B) *poster {
	t := &http.Transport{MaxIdleConnsPerHost: 64}
	b.Cleanup(t.CloseIdleConnections)
	return &poster{&http.Client{Transport: t}}
}

// post wants an answer that holds a text.
func (p *poster) post(ctx context.Context, url, token, body, want string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(answer), want) {
		return fmt.Errorf("status %d: %.300s", resp.StatusCode, answer)
	}
	return nil
}

// rate is calls per second, with eight clients.
func rate(b *testing.B, calls int, do func(n int) error) float64 {
	b.Helper()
	const clients = 8
	var wg sync.WaitGroup
	begin := time.Now()
	for c := range clients {
		wg.Go(func() {
			for n := c; n < calls; n += clients {
				if err := do(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(calls) / time.Since(begin).Seconds()
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// used is the processor time of this process so far, client and server, in seconds.
func used() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// compared runs two things in turn, so that whatever else the machine does slows
// both, and reports the medians of their rates and of the ratios, also of calls for
// a second of processor time, on which other processes bear less. One operation of
// the benchmark is a round of both.
func compared(b *testing.B, calls int, one, other string, first, second func(n int) error) {
	b.Helper()
	rate(b, calls, first) // warm
	rate(b, calls, second)
	var a, z, ratios, cpu []float64
	for b.Loop() {
		begin := used()
		x := rate(b, calls, first)
		middle := used()
		y := rate(b, calls, second)
		a, z, ratios, cpu = append(a, x), append(z, y), append(ratios, y/x), append(cpu, (middle-begin)/(used()-middle))
	}
	b.ReportMetric(median(a), one+"/s")
	b.ReportMetric(median(z), other+"/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(cpu), "cpu-ratio")
}

// BenchmarkToolCall: calls per second of the whole resource server, with its
// checks, limits, log and reports, against mcp-go alone with the same tool. Of a
// tool that does nothing this is everything that the server adds; the other asks
// Google's stand-in, with a warm cache of credentials.
func BenchmarkToolCall(b *testing.B) {
	t := echo(b)
	r, url := benched(b, t)
	tools, err := app.Tools(r.settings)
	if err != nil {
		b.Fatal(err)
	}
	tokens := make([]string, 200) // one would flatter the cache of verified tokens
	for i := range tokens {
		tokens[i] = r.as.mint(all)
	}
	for _, c := range []struct {
		t          *tool.Tool
		calls      int
		args       map[string]any
		want, name string
	}{
		{t, 800, map[string]any{"text": "hello"}, `"hello"`, "nothing"},
		{tools[slices.IndexFunc(tools, func(t *tool.Tool) bool { return t.Name == "drive_search" })], 200, map[string]any{"page_size": 10}, `"files"`, "google"},
	} {
		b.Run(c.name, func(b *testing.B) {
			library, p, body := bare(b, r, c.t), newPoster(b), callBody(c.t.Name, c.args)
			compared(b, c.calls, "mcp-go", "latchkey",
				func(n int) error { return p.post(b.Context(), library, tokens[n%len(tokens)], body, c.want) },
				func(n int) error { return p.post(b.Context(), url, tokens[n%len(tokens)], body, c.want) })
		})
	}
}

// driveList is what drive_search asks of Google.
func driveList(ctx context.Context, s *drive.Service) error {
	page, err := s.Files.List().Q("trashed = false").PageSize(10).IncludeItemsFromAllDrives(true).SupportsAllDrives(true).
		Fields("nextPageToken", "incompleteSearch", "files(id,name,mimeType,modifiedTime,size,shared,webViewLink,owners(displayName,emailAddress))").OrderBy("modifiedTime desc").Context(ctx).Do(api.QuotaUser(strings.Repeat("0", 32)))
	if err == nil && len(page.Files) == 0 {
		err = fmt.Errorf("no files")
	}
	return err
}

// BenchmarkAddedLatency: one call after the other, directly with Google's client
// and through the resource server, in turn. The stand-in answers at once, and as
// late as Google does.
func BenchmarkAddedLatency(b *testing.B) {
	r, url := benched(b)
	token := r.as.mint(all)
	direct, err := drive.NewService(b.Context(), option.WithEndpoint(r.settings.GoogleAPIURL+"/drive/v3/"), option.WithHTTPClient(&http.Client{
		Transport: &oauth2.Transport{Base: googleapi.NewTransport(), Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: r.as.googleToken(false).AccessToken})},
	}))
	if err != nil {
		b.Fatal(err)
	}
	body, p := callBody("drive_search", map[string]any{"page_size": 10}), newPoster(b)
	for _, delay := range []time.Duration{0, 30 * time.Millisecond} {
		b.Run("google="+delay.String(), func(b *testing.B) {
			if delay > 0 {
				defer r.google.Inject(fakegoogle.Fault{Prefix: "/drive/", Delay: delay})()
			}
			ways := []func() error{
				func() error { return driveList(b.Context(), direct) },
				func() error { return p.post(b.Context(), url, token, body, `"files"`) },
			}
			took := make([][]float64, len(ways))
			for b.Loop() {
				for i, way := range ways {
					begin := time.Now()
					if err := way(); err != nil {
						b.Fatal(err)
					}
					took[i] = append(took[i], float64(time.Since(begin).Microseconds()))
				}
			}
			for i, name := range []string{"direct", "latchkey"} {
				slices.Sort(took[i])
				b.ReportMetric(at(took[i], 50), name+"-p50-µs")
				b.ReportMetric(at(took[i], 99), name+"-p99-µs")
			}
			b.ReportMetric(at(took[1], 50)-at(took[0], 50), "added-p50-µs")
			b.ReportMetric(at(took[1], 99)-at(took[0], 99), "added-p99-µs")
			b.ReportMetric(at(took[1], 50)/at(took[0], 50), "ratio-p50")
		})
	}
}

// at is a percentile of sorted values.
func at(sorted []float64, percent int) float64 { return sorted[(len(sorted)-1)*percent/100] }

// BenchmarkToolsList: the list of all tools through the whole server, as mcp-go
// makes it for each request and from memory. To the first only, each request is
// new: its progress token differs.
func BenchmarkToolsList(b *testing.B) {
	r, url := benched(b)
	token, p := r.as.mint(all), newPoster(b)
	var unique atomic.Int64
	compared(b, 200, "made", "kept",
		func(int) error {
			return p.post(b.Context(), url, token, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"progressToken":%d}}}`, unique.Add(1)), `"gmail_send"`)
		},
		func(int) error { return p.post(b.Context(), url, token, list, `"gmail_send"`) })
}
