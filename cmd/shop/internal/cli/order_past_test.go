package cli_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/eventstore"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/pgtest"
)

// pastShop is a shop whose order service has a past.
type pastShop struct {
	*shop
	mu    sync.Mutex
	asked []string
}

func newPastShop(t *testing.T) *pastShop {
	t.Helper()
	s := &pastShop{shop: newShop(t)}
	const order = `{"orderId":"` + theID + `","version":4,"status":"CANCELLING","totalAmount":99.99,"currency":"GBP","placedAt":"2026-01-02T12:00:00Z",
		"confirmBy":"2026-01-02T12:05:00Z","needsAttention":false,"customer":{"id":"cust-7"},"items":[{"sku":"A\u001b","quantity":2,"unitPrice":29.99}],
		"cancellation":{"reason":"customer","detail":"too late"},"trackingId":"T1","unknown":1}`
	answers := map[string]string{
		"/orders/" + theID:             order,
		"/orders/" + theID + "/events": `{"events":[{"version":4,"type":"OrderCancellationRequested","recordedAt":"2026-01-02T12:01:00Z","actor":"customer","causedBy":"RequestCancellation"}]}`,
		"/orders/" + theID + "/diff":   `{"orderId":"` + theID + `","from":3,"to":4,"changes":[{"field":"status","old":"PENDING","new":"CANCELLING"},{"field":"cancellation","new":{"reason":"customer"}}]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		query, _ := url.QueryUnescape(r.URL.RawQuery)
		s.asked = append(s.asked, strings.TrimPrefix(r.URL.Path, "/orders/"+theID)+"?"+query)
		s.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("version") == "9" {
			w.WriteHeader(http.StatusNotFound)
			w.Write([]byte(`{"title":"Not Found","detail":"the order has no version 9, it is at 4"}`))
			return
		}
		w.Write([]byte(answers[r.URL.Path]))
	}))
	t.Cleanup(server.Close)
	s.stateIs(map[string]any{
		"ports": map[string]int{}, "operators": map[string]string{}, "urls": map[string]string{"order": server.URL},
		"databases": map[string]string{"order": pgtest.NewURL(t, eventstore.Component(), httpapi.IdempotencyComponent())},
	})
	return s
}

const theID = "019b76da-4001-7000-8000-000000004001"

func (s *pastShop) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func TestOrderOfThePast(t *testing.T) {
	t.Parallel()
	s := newPastShop(t)
	local := func(text string) string {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at.Local().Format(time.RFC3339Nano)
	}
	for _, args := range [][]string{{"--version", "4"}, {"--as-of", "2026-01-02T13:01:00.5+01:00"}} {
		out := s.must(append([]string{"order", theID}, args...)...)
		s.has(out, "order "+theID+"  CANCELLING  version 4\n",
			"last event: OrderCancellationRequested, recorded "+local("2026-01-02T12:01:00Z")+", by customer (RequestCancellation)\n",
			"99.99 GBP, placed "+local("2026-01-02T12:00:00Z"), "customer cust-7\n", "  2 × \"A\\x1b\" at 29.99\n", "tracking T1\n", "cancellation: customer: too late\n")
	}
	want := []string{"?version=4", "/events?after=3&limit=1", "?asOf=2026-01-02T12:01:00.5Z", "/events?after=3&limit=1"}
	if diff := cmp.Diff(want, s.questions()); diff != "" {
		t.Error(diff)
	}
	if v := decode(t, s.must("order", theID, "--version", "4", "--json")); v["status"] != "CANCELLING" || v["unknown"] != 1.0 {
		t.Errorf("%v", v)
	}
	s.fails([]string{"order", theID, "--version", "9"}, "has no version 9, it is at 4")
}

func TestOrderDiff(t *testing.T) {
	t.Parallel()
	s := newPastShop(t)
	out := s.must("order", theID, "--diff", "3..4")
	want := [][]string{{"order", theID + ",", "version", "3", "to", "4"}, {"FIELD", "OLD", "NEW"},
		{"status", "PENDING", "CANCELLING"}, {"cancellation", "-", `{"reason":"customer"}`}}
	if diff := cmp.Diff(want, words(out)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/diff?from=3&to=4"}, s.questions()); diff != "" {
		t.Error(diff)
	}
	if v := decode(t, s.must("order", theID, "--diff", "3..4", "--json")); len(v["changes"].([]any)) != 2 {
		t.Errorf("%v", v)
	}
}

// TestBadMoments are refused before anything is asked.
func TestBadMoments(t *testing.T) {
	t.Parallel()
	s := newPastShop(t)
	for _, tc := range [][]string{
		{"--version", "0", "versions begin at 1"}, {"--version", "-1", "versions begin at 1"}, {"--version", "x", "invalid"},
		{"--as-of", "yesterday", "--as-of"}, {"--as-of", "", "needs a time"},
		{"--diff", "3", "3..5"}, {"--diff", "3..", "3..5"}, {"--diff", "0..1", "3..5"}, {"--diff", "1...2", "3..5"}, {"--diff", "", "3..5"},
	} {
		s.fails([]string{"order", theID, tc[0], tc[1]}, tc[2])
	}
	for _, more := range [][]string{{"--version", "1", "--as-of", "1h"}, {"--diff", "1..2", "--version", "1"}, {"--version", "1", "--follow"}} {
		s.fails(append([]string{"order", theID}, more...), "none of the others can be")
	}
	if asked := s.questions(); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
}

// TestOrderOfThePastNeedsTheOrderService: the error names it if it is away.
func TestOrderOfThePastNeedsTheOrderService(t *testing.T) {
	t.Parallel()
	s := newPastShop(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	s.stateIs(map[string]any{"ports": map[string]int{}, "operators": map[string]string{}, "urls": map[string]string{"order": gone.URL},
		"databases": map[string]string{"order": pgtest.NewURL(t, eventstore.Component(), httpapi.IdempotencyComponent())}})
	s.fails([]string{"order", theID, "--version", "1"}, gone.URL[len("http://"):])
}
