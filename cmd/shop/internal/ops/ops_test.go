package ops_test

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

	"eventshop.example/cmd/shop/internal/ops"
	"eventshop.example/cmd/shop/internal/ops/opstest"
)

func ids(letters []ops.Summary) []string {
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

// down is the URL of a process that is not there.
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
			d.Status = ops.Resolved
		}
	}
	g := ops.NewFleet(map[string]string{"payment": s.URL}, "ada").Groups[0]
	at := func(minute int) time.Time {
		return time.Date(2026, 1, 1, 0, minute, 0, 0, time.FixedZone("", 3600)).Add(time.Hour)
	}
	for what, c := range map[string]struct {
		filter ops.Filter
		most   int
		want   []string
		more   bool
	}{
		"open":            {ops.Filter{}, 0, numbered(0, 1, 2, 3, 5, 6), false},
		"any status":      {ops.Filter{Status: ops.AnyStatus}, 0, numbered(0, 1, 2, 3, 4, 5, 6), false},
		"status":          {ops.Filter{Status: ops.Resolved}, 0, numbered(4), false},
		"topic":           {ops.Filter{Topic: "inventory.events"}, 0, numbered(1), false},
		"type":            {ops.Filter{Type: "OrderConfirmed"}, 0, numbered(2), false},
		"class":           {ops.Filter{Class: "hopeless"}, 0, numbered(3), false},
		"key":             {ops.Filter{Key: "key-f"}, 0, numbered(5), false},
		"times":           {ops.Filter{Since: at(1), Until: at(3)}, 0, numbered(1, 2), false},
		"at most":         {ops.Filter{}, 4, numbered(0, 1, 2, 3), true},
		"as many as most": {ops.Filter{}, 6, numbered(0, 1, 2, 3, 5, 6), false},
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
	const n = 2*ops.MaxPage + 1
	for i := range n {
		s.Add(i, "k")
	}
	g := ops.NewFleet(map[string]string{"payment": s.URL}, "").Groups[0]
	got, more, err := g.List(t.Context(), ops.Filter{}, 0)
	if err != nil || more || len(got) != n || got[n-1].ID != opstest.ID(n-1) {
		t.Errorf("%d, %v, %v", len(got), more, err)
	}
	if got, more, err = g.List(t.Context(), ops.Filter{}, ops.MaxPage+1); err != nil || !more || len(got) != ops.MaxPage+1 {
		t.Errorf("at most: %d, %v, %v", len(got), more, err)
	}
}

func TestReplicasAreOneGroup(t *testing.T) {
	t.Parallel()
	s, other := opstest.Start(t, "payment"), opstest.Start(t, "order")
	s.Add(1, "k")
	f := ops.NewFleet(map[string]string{"payment": down(t), "payment-2": s.URL, "order": other.URL}, "ada")
	var names []string
	for _, g := range f.Groups {
		for _, p := range g.Processes {
			names = append(names, g.Name+"/"+p.Name)
		}
	}
	if diff := cmp.Diff([]string{"order/order", "payment/payment", "payment/payment-2"}, names); diff != "" {
		t.Fatal(diff)
	}
	// The first is down: the second answers, and is told.
	for _, a := range ops.ListAll(t.Context(), f.Groups, ops.Filter{}, 0) {
		if want := map[string]int{"order": 0, "payment": 1}[a.From]; a.Err != nil || len(a.Value.DeadLetters) != want {
			t.Errorf("%s: %d, %v", a.From, len(a.Value.DeadLetters), a.Err)
		}
	}
	resubmit := func(ctx context.Context, c *ops.Client) (ops.Outcome, error) {
		return c.Resubmit(ctx, opstest.ID(1), "fixed", false)
	}
	if o, err := ops.Tell(t.Context(), f.Groups[1], resubmit); err != nil || !o.Effect {
		t.Errorf("%+v, %v", o, err)
	}
	want := []string{"POST /dead-letters/" + opstest.ID(1) + `/resubmit ada {"reason":"fixed"}`}
	if diff := cmp.Diff(want, s.Changes()); diff != "" {
		t.Error(diff)
	}
	each := ops.AskEach(t.Context(), f.Groups, func(ctx context.Context, c *ops.Client) ([]ops.Breaker, error) { return c.Breakers(ctx) })
	if len(each) != 3 || each[1].Err == nil || each[2].Err != nil {
		t.Errorf("each process: %+v", each)
	}
	if failed := ops.Failures(each); len(failed) != 1 || !strings.Contains(failed[0].Error(), "payment cannot be asked") {
		t.Errorf("failures: %v", failed)
	}
	if _, err := f.Only("shipping"); err == nil || !strings.Contains(err.Error(), "order, payment") {
		t.Errorf("an unknown group: %v", err)
	}
}

// TestAChangeIsNotSentTwice: a process that took the request and said nothing may have
// done it; only a question goes to the next one.
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
	g := ops.NewFleet(map[string]string{"payment": mute.URL, "payment-2": s.URL}, "ada").Groups[0]
	_, err := ops.Tell(t.Context(), g, func(ctx context.Context, c *ops.Client) (ops.Outcome, error) {
		return c.Resubmit(ctx, opstest.ID(1), "", false)
	})
	var u *ops.Unreachable
	if !errors.As(err, &u) || !u.Sent || len(s.Changes()) != 0 {
		t.Errorf("%v; the second heard %v", err, s.Changes())
	}
	if d, err := ops.Ask(t.Context(), g, func(ctx context.Context, c *ops.Client) (ops.Detail, error) {
		return c.DeadLetter(ctx, opstest.ID(1))
	}); err != nil || d.ID != opstest.ID(1) {
		t.Errorf("a question: %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	one, two := opstest.Start(t, "order"), opstest.Start(t, "payment")
	two.Add(1, "k")
	f := ops.NewFleet(map[string]string{"order": one.URL, "payment": two.URL}, "")
	if g, d, err := f.Find(t.Context(), opstest.ID(1)); err != nil || g.Name != "payment" || d.Key != "k" {
		t.Errorf("%s %s %v", g.Name, d.Key, err)
	}
	if _, _, err := f.Find(t.Context(), opstest.ID(2)); err == nil || !strings.Contains(err.Error(), "no group has") {
		t.Errorf("unknown: %v", err)
	}
	f = ops.NewFleet(map[string]string{"order": one.URL, "payment": down(t)}, "")
	if _, _, err := f.Find(t.Context(), opstest.ID(1)); err == nil || !strings.Contains(err.Error(), "payment cannot be asked") {
		t.Errorf("perhaps of one that is down: %v", err)
	}
}

func TestProblemsAreTold(t *testing.T) {
	t.Parallel()
	s := opstest.Start(t, "payment")
	s.Add(1, "k")
	c := ops.NewClient(s.URL+"/", "ada", nil)
	edit := ops.Edit{Record: ops.Record{Payload: json.RawMessage(`{"amount": 1}`)}}
	_, err := c.Edit(t.Context(), opstest.ID(1), edit)
	if ops.StatusOf(err) != http.StatusUnprocessableEntity || !strings.Contains(err.Error(), "payload.orderId is required") {
		t.Errorf("%v", err)
	}
	if _, err := c.Discard(t.Context(), opstest.ID(2), "r", false); ops.StatusOf(err) != http.StatusNotFound {
		t.Errorf("%v", err)
	}
	if _, err := ops.NewClient(s.URL, "", nil).Resubmit(t.Context(), opstest.ID(1), "", false); ops.StatusOf(err) != http.StatusBadRequest {
		t.Errorf("in nobody's name: %v", err)
	}
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>", http.StatusBadGateway)
	}))
	t.Cleanup(html.Close)
	if _, err := ops.NewClient(html.URL, "", nil).Stats(t.Context()); ops.StatusOf(err) != http.StatusBadGateway || !strings.Contains(err.Error(), "502") {
		t.Errorf("no problem document: %v", err)
	}
}

// TestAFrozenProcessIsGivenUp: it accepts the connection and says nothing.
func TestAFrozenProcessIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		frozen := &http.Client{Transport: silence{}}
		g := ops.Group{Name: "payment", Processes: []ops.Process{{Name: "payment", Client: ops.NewClient("http://payment", "ada", frozen)}}}
		began := time.Now()
		_, err := ops.Ask(t.Context(), g, func(ctx context.Context, c *ops.Client) (ops.Stats, error) { return c.Stats(ctx) })
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
	s.Breakers = []ops.Breaker{{Name: "gateway", State: "open", RetryAfterMS: 4000}, {Name: "other", State: "closed"}}
	f := ops.NewFleet(map[string]string{"payment": s.URL}, "ada")
	rows, err := f.Groups[0].Republish(t.Context(), ops.Selection{
		Topics: []string{"payment.events"}, Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), DryRun: true,
	})
	want := []string{`POST /outbox/republish ada {"topics":["payment.events"],"since":"2026-01-02T03:04:05Z","dryRun":true}`}
	if diff := cmp.Diff(want, s.Changes()); err != nil || rows != 42 || diff != "" {
		t.Errorf("%d, %v %s", rows, err, diff)
	}
	breakers, err := f.Groups[0].Processes[0].Breakers(t.Context())
	if err != nil || len(breakers) != 2 || breakers[0].Closed() || !breakers[1].Closed() {
		t.Errorf("%+v, %v", breakers, err)
	}
	none := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(none.Close)
	if breakers, err := ops.NewClient(none.URL, "", nil).Breakers(t.Context()); err != nil || len(breakers) != 0 {
		t.Errorf("a service without breakers: %+v, %v", breakers, err)
	}
}
