package outbound_test

import (
	"net/http"
	"testing"
	"time"

	"latchkey/authserver/internal/outbound"
)

// TestFreshness: RFC 9111 §4.2 within our bounds, from the headers of real
// answers.
func TestFreshness(t *testing.T) {
	t.Parallel()
	const atLeast, atMost = outbound.MinFresh, outbound.MaxFresh
	now := time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for name, row := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"AS-C7 nothing said":                               {http.Header{}, atLeast},
		"AS-C7 max-age":                                    {http.Header{"Cache-Control": {"max-age=600"}}, 10 * time.Minute},
		"AS-C7 max-age among others":                       {http.Header{"Cache-Control": {"public, must-revalidate ,  Max-Age=600, immutable"}}, 10 * time.Minute},
		"AS-C7 max-age in a second line":                   {http.Header{"Cache-Control": {"public", "max-age=600"}}, 10 * time.Minute},
		"AS-C7 quoted max-age":                             {http.Header{"Cache-Control": {`max-age="600"`}}, 10 * time.Minute},
		"AS-C7 the same max-age twice":                     {http.Header{"Cache-Control": {"max-age=600, max-age=600"}}, 10 * time.Minute},
		"AS-C7 two max-ages contradict each other":         {http.Header{"Cache-Control": {"max-age=600, max-age=80000"}}, atLeast},
		"AS-C7 two max-ages in two lines":                  {http.Header{"Cache-Control": {"max-age=80000", "max-age=600"}}, atLeast},
		"AS-C7 max-age=0":                                  {http.Header{"Cache-Control": {"max-age=0"}}, atLeast},
		"AS-C7 max-age of a second":                        {http.Header{"Cache-Control": {"max-age=1"}}, atLeast},
		"AS-C7 max-age of a year":                          {http.Header{"Cache-Control": {"max-age=31536000"}}, atMost},
		"AS-C7 max-age above any number is the largest":    {http.Header{"Cache-Control": {"max-age=99999999999999999999999999"}}, atMost},
		"AS-C7 max-age of 2^31":                            {http.Header{"Cache-Control": {"max-age=2147483648"}}, atMost},
		"AS-C7 negative max-age":                           {http.Header{"Cache-Control": {"max-age=-600"}}, atLeast},
		"AS-C7 max-age with a sign":                        {http.Header{"Cache-Control": {"max-age=+600"}}, atLeast},
		"AS-C7 max-age that is no number":                  {http.Header{"Cache-Control": {"max-age=ten"}, "Expires": {date(time.Hour)}}, atLeast},
		"AS-C7 max-age with a fraction":                    {http.Header{"Cache-Control": {"max-age=600.5"}}, atLeast},
		"AS-C7 max-age in other digits":                    {http.Header{"Cache-Control": {"max-age=\u0666\u0660\u0660"}}, atLeast},
		"AS-C7 max-age without a value":                    {http.Header{"Cache-Control": {"max-age"}}, atLeast},
		"AS-C7 no-store is our lower bound":                {http.Header{"Cache-Control": {"no-store"}}, atLeast},
		"AS-C7 no-store after max-age":                     {http.Header{"Cache-Control": {"max-age=600, no-store"}}, atLeast},
		"AS-C7 no-cache before max-age":                    {http.Header{"Cache-Control": {"no-cache", "max-age=600"}}, atLeast},
		"AS-C7 NO-CACHE":                                   {http.Header{"Cache-Control": {"NO-CACHE, max-age=600"}}, atLeast},
		"AS-C7 no-cache for a field":                       {http.Header{"Cache-Control": {`no-cache="set-cookie", max-age=600`}}, atLeast},
		"AS-C7 s-maxage is for others":                     {http.Header{"Cache-Control": {"s-maxage=600"}}, atLeast},
		"AS-C7 x-max-age is nothing":                       {http.Header{"Cache-Control": {"x-max-age=600"}}, atLeast},
		"AS-C7 Age is taken off":                           {http.Header{"Cache-Control": {"max-age=600"}, "Age": {"120"}}, 8 * time.Minute},
		"AS-C7 Age beyond max-age":                         {http.Header{"Cache-Control": {"max-age=600"}, "Age": {"6000"}}, atLeast},
		"AS-C7 absurd Age":                                 {http.Header{"Cache-Control": {"max-age=31536000"}, "Age": {"99999999999999999999999"}}, atLeast},
		"AS-C7 negative Age adds nothing":                  {http.Header{"Cache-Control": {"max-age=600"}, "Age": {"-600"}}, 10 * time.Minute},
		"AS-C7 the first of two Ages":                      {http.Header{"Cache-Control": {"max-age=600"}, "Age": {"120, 60"}}, 8 * time.Minute},
		"AS-C7 Expires":                                    {http.Header{"Expires": {date(10 * time.Minute)}}, 10 * time.Minute},
		"AS-C7 Expires by the server's own clock":          {http.Header{"Date": {date(-time.Hour)}, "Expires": {date(-50 * time.Minute)}}, 10 * time.Minute},
		"AS-C7 a server's clock ahead makes nothing fresh": {http.Header{"Date": {date(time.Hour)}, "Expires": {date(time.Hour + 10*time.Minute)}}, 10 * time.Minute},
		"AS-C7 Expires less Age":                           {http.Header{"Expires": {date(10 * time.Minute)}, "Age": {"120"}}, 8 * time.Minute},
		"AS-C7 max-age goes before Expires":                {http.Header{"Cache-Control": {"max-age=600"}, "Expires": {date(time.Hour)}}, 10 * time.Minute},
		"AS-C7 Expires in the past":                        {http.Header{"Expires": {date(-time.Hour)}}, atLeast},
		"AS-C7 Expires 0":                                  {http.Header{"Expires": {"0"}}, atLeast},
		"AS-C7 Expires -1":                                 {http.Header{"Expires": {"-1"}}, atLeast},
		"AS-C7 Expires in the year 9999":                   {http.Header{"Expires": {"Fri, 31 Dec 9999 23:59:59 GMT"}}, atMost},
		"AS-C7 Expires in the year 1, and an Age":          {http.Header{"Expires": {"Mon, 01 Jan 0001 00:00:00 GMT"}, "Age": {"2147483647"}}, atLeast},
		"AS-C7 Expires in the year 9999, and an Age":       {http.Header{"Date": {"Mon, 01 Jan 0001 00:00:00 GMT"}, "Expires": {"Fri, 31 Dec 9999 23:59:59 GMT"}, "Age": {"2147483647"}}, atMost},
		"AS-C7 two Expires":                                {http.Header{"Expires": {date(time.Hour), date(2 * time.Hour)}}, atLeast},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := outbound.Freshness(row.header, now); got != row.want {
				t.Errorf("%v, want %v", got, row.want)
			}
		})
	}
	t.Run("AS-C7 of a real answer: counted from its end", func(t *testing.T) {
		t.Parallel()
		f, at := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=600")
			w.Header().Set("Age", "120")
			document(w, "{}")
		})
		before := time.Now()
		doc, err := f.Get(t.Context(), outbound.Request{URL: at + "/", Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		if doc.Fetched.Before(before) || doc.Fetched.After(time.Now()) || doc.FreshUntil.Sub(doc.Fetched) != 8*time.Minute {
			t.Errorf("fetched %v, fresh until %v", doc.Fetched, doc.FreshUntil)
		}
	})
}
