package operators_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/operators"
	"eventshop.example/ops/operators/opstest"
)

func ids(letters []operators.Summary) []string {
	out := []string{}
	for _, d := range letters {
		out = append(out, d.ID)
	}
	return out
}

func numbered(ns ...int) []string {
	out := []string{}
	for _, n := range ns {
		out = append(out, opstest.ID(n))
	}
	return out
}

// down returns a URL without a listener.
func down(t *testing.T) string {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	return server.URL
}

func TestFiltersSelectAndPagesFollow(t *testing.T) {
	t.Parallel()
	s := opstest.Start(t, "payment")
	for n := range 7 {
		d := s.Add(n, "key-"+string(rune('a'+n)))
		switch n {
		case 1:
			d.Topic = "inventory.events"
		case 2:
			d.EventType = "OrderConfirmed"
		case 3:
			d.ErrorClass = "hopeless"
		case 4:
			d.Status = operators.Resolved
		}
	}
	g := operators.NewFleet(map[string]string{"payment": s.URL}, "ada").Groups[0]
	at := func(minute int) time.Time {
		return time.Date(2026, 1, 1, 0, minute, 0, 0, time.FixedZone("", 3600)).Add(time.Hour)
	}
	for what, c := range map[string]struct {
		filter operators.Filter
		most   int
		want   []string
		more   bool
	}{
		"open":            {operators.Filter{}, 0, numbered(0, 1, 2, 3, 5, 6), false},
		"any status":      {operators.Filter{Status: operators.AnyStatus}, 0, numbered(0, 1, 2, 3, 4, 5, 6), false},
		"status":          {operators.Filter{Status: operators.Resolved}, 0, numbered(4), false},
		"topic":           {operators.Filter{Topic: "inventory.events"}, 0, numbered(1), false},
		"type":            {operators.Filter{Type: "OrderConfirmed"}, 0, numbered(2), false},
		"class":           {operators.Filter{Class: "hopeless"}, 0, numbered(3), false},
		"key":             {operators.Filter{Key: "key-f"}, 0, numbered(5), false},
		"times":           {operators.Filter{Since: at(1), Until: at(3)}, 0, numbered(1, 2), false},
		"at most":         {operators.Filter{}, 4, numbered(0, 1, 2, 3), true},
		"as many as most": {operators.Filter{}, 6, numbered(0, 1, 2, 3, 5, 6), false},
	} {
		got, more, err := g.List(t.Context(), c.filter, c.most)
		if err != nil || more != c.more {
			t.Errorf("%s: more is %v, %v", what, more, err)
		}
		if diff := cmp.Diff(c.want, ids(got)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}

func TestListReadsAllPages(t *testing.T) {
	t.Parallel()
	s := opstest.Start(t, "payment")
	const n = 2*operators.MaxPage + 1
	for i := range n {
		s.Add(i, "k")
	}
	g := operators.NewFleet(map[string]string{"payment": s.URL}, "").Groups[0]
	got, more, err := g.List(t.Context(), operators.Filter{}, 0)
	if err != nil || more || len(got) != n || got[n-1].ID != opstest.ID(n-1) {
		t.Errorf("%d, %v, %v", len(got), more, err)
	}
	if got, more, err = g.List(t.Context(), operators.Filter{}, operators.MaxPage+1); err != nil || !more || len(got) != operators.MaxPage+1 {
		t.Errorf("at most: %d, %v, %v", len(got), more, err)
	}
}

func TestReplicasAreOneGroup(t *testing.T) {
	t.Parallel()
	s, other := opstest.Start(t, "payment"), opstest.Start(t, "order")
	s.Add(1, "k")
	f := operators.NewFleet(map[string]string{"payment": down(t), "payment-2": s.URL, "order": other.URL}, "ada")
	var names []string
	for _, g := range f.Groups {
		for _, p := range g.Processes {
			names = append(names, g.Name+"/"+p.Name)
		}
	}
	if diff := cmp.Diff([]string{"order/order", "payment/payment", "payment/payment-2"}, names); diff != "" {
		t.Fatal(diff)
	}
	// The first process is down: the second gets questions and changes.
	for _, a := range operators.ListAll(t.Context(), f.Groups, operators.Filter{}, 0) {
		if want := map[string]int{"order": 0, "payment": 1}[a.From]; a.Err != nil || len(a.Value.DeadLetters) != want {
			t.Errorf("%s: %d, %v", a.From, len(a.Value.DeadLetters), a.Err)
		}
	}
	resubmit := func(ctx context.Context, c *operators.Client) (operators.Outcome, error) {
		return c.Resubmit(ctx, opstest.ID(1), "fixed", false)
	}
	if o, err := operators.Change(t.Context(), f.Groups[1], resubmit); err != nil || !o.Effect {
		t.Errorf("%+v, %v", o, err)
	}
	want := []string{"POST /dead-letters/" + opstest.ID(1) + `/resubmit ada {"reason":"fixed"}`}
	if diff := cmp.Diff(want, s.Changes()); diff != "" {
		t.Error(diff)
	}
	each := operators.AskEach(t.Context(), f.Groups, func(ctx context.Context, c *operators.Client) ([]operators.Breaker, error) { return c.Breakers(ctx) })
	if len(each) != 3 || each[1].Err == nil || each[2].Err != nil {
		t.Errorf("each process: %+v", each)
	}
	if failed := operators.Failures(each); len(failed) != 1 || !strings.Contains(failed[0].Error(), "payment cannot be asked") {
		t.Errorf("failures: %v", failed)
	}
	if _, err := f.Only("shipping"); err == nil || !strings.Contains(err.Error(), "order, payment") {
		t.Errorf("an unknown group: %v", err)
	}
}

// TestAChangeIsNotSentTwice: a process that received the request and did not answer may have
// carried it out. Only a read goes to the next process.
func TestAChangeIsNotSentTwice(t *testing.T) {
	t.Parallel()
	mute := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Close()
		}
	}))
	t.Cleanup(mute.Close)
	s := opstest.Start(t, "payment")
	s.Add(1, "k")
	g := operators.NewFleet(map[string]string{"payment": mute.URL, "payment-2": s.URL}, "ada").Groups[0]
	_, err := operators.Change(t.Context(), g, func(ctx context.Context, c *operators.Client) (operators.Outcome, error) {
		return c.Resubmit(ctx, opstest.ID(1), "", false)
	})
	var u *jsonhttp.Unreachable
	if !errors.As(err, &u) || !u.Sent || len(s.Changes()) != 0 {
		t.Errorf("%v; the second heard %v", err, s.Changes())
	}
	if d, err := operators.Ask(t.Context(), g, func(ctx context.Context, c *operators.Client) (operators.Detail, error) {
		return c.DeadLetter(ctx, opstest.ID(1))
	}); err != nil || d.ID != opstest.ID(1) {
		t.Errorf("a question: %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	one, two := opstest.Start(t, "order"), opstest.Start(t, "payment")
	two.Add(1, "k")
	f := operators.NewFleet(map[string]string{"order": one.URL, "payment": two.URL}, "")
	if g, d, err := f.Find(t.Context(), opstest.ID(1)); err != nil || g.Name != "payment" || d.KeyText() != "k" {
		t.Errorf("%s %s %v", g.Name, d.KeyText(), err)
	}
	if _, _, err := f.Find(t.Context(), opstest.ID(2)); err == nil || !strings.Contains(err.Error(), "no group has") {
		t.Errorf("unknown: %v", err)
	}
	f = operators.NewFleet(map[string]string{"order": one.URL, "payment": down(t)}, "")
	if _, _, err := f.Find(t.Context(), opstest.ID(1)); err == nil || !strings.Contains(err.Error(), "payment cannot be asked") {
		t.Errorf("perhaps of one that is down: %v", err)
	}
}

func TestProblemsAreReported(t *testing.T) {
	t.Parallel()
	s := opstest.Start(t, "payment")
	s.Add(1, "k")
	c := operators.NewClient(s.URL+"/", "ada", nil)
	edit := operators.Edit{Payload: json.RawMessage(`{"amount": 1}`)}
	_, err := c.Edit(t.Context(), opstest.ID(1), edit)
	if jsonhttp.StatusOf(err) != http.StatusUnprocessableEntity || !strings.Contains(err.Error(), "payload.orderId: is required") {
		t.Errorf("%v", err)
	}
	if _, err := c.Discard(t.Context(), opstest.ID(2), "r", false); jsonhttp.StatusOf(err) != http.StatusNotFound {
		t.Errorf("%v", err)
	}
	if _, err := operators.NewClient(s.URL, "", nil).Resubmit(t.Context(), opstest.ID(1), "", false); jsonhttp.StatusOf(err) != http.StatusBadRequest {
		t.Errorf("in nobody's name: %v", err)
	}
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>", http.StatusBadGateway)
	}))
	t.Cleanup(html.Close)
	if _, err := operators.NewClient(html.URL, "", nil).Stats(t.Context()); jsonhttp.StatusOf(err) != http.StatusBadGateway || !strings.Contains(err.Error(), "502") {
		t.Errorf("no problem document: %v", err)
	}
}

// TestAFrozenProcessIsGivenUp: it accepts the connection and does not answer.
func TestAFrozenProcessIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		frozen := &http.Client{Transport: silence{}}
		g := operators.Group{Name: "payment", Processes: []operators.Process{{Name: "payment", Client: operators.NewClient("http://payment", "ada", frozen)}}}
		began := time.Now()
		_, err := operators.Ask(t.Context(), g, func(ctx context.Context, c *operators.Client) (operators.Stats, error) { return c.Stats(ctx) })
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "does not answer") || took > 15*time.Second {
			t.Errorf("%v after %s", err, took)
		}
	})
}

type silence struct{}

func (silence) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestOutboxAndBreakers(t *testing.T) {
	t.Parallel()
	s := opstest.Start(t, "payment")
	s.Rows = 42
	s.Breakers = []operators.Breaker{{Name: "gateway", State: "open", RetryAfterMs: 4000}, {Name: "other", State: "closed"}}
	f := operators.NewFleet(map[string]string{"payment": s.URL}, "ada")
	rows, err := f.Groups[0].Republish(t.Context(), operators.Selection{
		Topics: []string{"payment.events"}, Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), DryRun: true,
	})
	want := []string{`POST /outbox/republish ada {"dryRun":true,"since":"2026-01-02T03:04:05Z","topics":["payment.events"]}`}
	if diff := cmp.Diff(want, s.Changes()); err != nil || rows != 42 || diff != "" {
		t.Errorf("%d, %v %s", rows, err, diff)
	}
	breakers, err := f.Groups[0].Processes[0].Breakers(t.Context())
	if err != nil || len(breakers) != 2 || breakers[0].Closed() || !breakers[1].Closed() {
		t.Errorf("%+v, %v", breakers, err)
	}
	none := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(none.Close)
	if breakers, err := operators.NewClient(none.URL, "", nil).Breakers(t.Context()); err != nil || len(breakers) != 0 {
		t.Errorf("a service without breakers: %+v, %v", breakers, err)
	}
}

// TestParkedOfAnEarlierRelease: it refuses the parameter and lists the keys, in part if they are
// many.
func TestParkedOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	n := 2
	earlier := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("key") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		keys := make([]operators.ParkedKey, n)
		keys[1].Key = opstest.Key("k")
		json.NewEncoder(w).Encode(map[string]any{"parkedKeys": keys}) //nolint:errcheck // it fails only when the client has gone
	}))
	t.Cleanup(earlier.Close)
	c := operators.NewClient(earlier.URL, "", nil)
	if keys, err := c.ParkedOf(t.Context(), "k"); err != nil || len(keys) != 1 || keys[0].KeyText() != "k" {
		t.Errorf("%+v, %v", keys, err)
	}
	n = operators.MaxPage
	if _, err := c.ParkedOf(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "more parked keys") {
		t.Errorf("of a list that may be a part: %v", err)
	}
}
