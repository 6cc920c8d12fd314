package faults

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"eventshop.example/sandbox/internal/wire"
	"github.com/google/go-cmp/cmp"
)

var everything = Abilities{Operations: []string{"charge", "void"}, Decline: true, Refuse: true, Delays: true}

func ptr[T any](v T) *T { return &v }

func add(t *testing.T, s *Set, rules ...Rule) {
	t.Helper()
	for _, rule := range rules {
		if _, err := s.Add(rule); err != nil {
			t.Fatalf("Add(%+v): %v", rule, err)
		}
	}
}

func TestRulesMatchAndCombine(t *testing.T) {
	s := New(everything)
	add(t, s,
		Rule{Match: Match{OrderID: "o1"}, LatencyMs: 10, Decline: "first"},
		Rule{Match: Match{Operation: "charge"}, LatencyMs: 5, Decline: "second", DispatchAfterMs: ptr(int64(0))},
		Rule{Match: Match{CustomerID: "c2", Operation: "void"}, AnswerLost: true},
		Rule{Match: Match{Key: "k9"}, Status: 503},
	)
	cases := map[string]struct {
		call Call
		want Effect
	}{
		"two rules": {
			Call{Operation: "charge", OrderID: "o1"},
			Effect{Latency: 15 * time.Millisecond, Decline: "first", DispatchAfter: ptr(time.Duration(0))},
		},
		"one rule":       {Call{Operation: "void", OrderID: "o1"}, Effect{Latency: 10 * time.Millisecond, Decline: "first"}},
		"all of a match": {Call{Operation: "void", CustomerID: "c2"}, Effect{AnswerLost: true}},
		"by key":         {Call{Operation: "void", Key: "k9"}, Effect{Status: 503}},
		"none":           {Call{Operation: "void", OrderID: "o2"}, Effect{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, s.Take(c.call)); diff != "" {
				t.Fatalf("effect (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTimesAreUsedUp(t *testing.T) {
	s := New(everything)
	add(t, s, Rule{ID: "twice", Match: Match{Operation: "charge"}, Down: true, Times: ptr(2)})
	var got []bool
	for _, operation := range []string{"charge", "void", "charge", "charge"} {
		got = append(got, s.Take(Call{Operation: operation}).Down)
	}
	if diff := cmp.Diff([]bool{true, false, true, false}, got); diff != "" {
		t.Fatalf("down (-want +got):\n%s", diff)
	}
	if rules := s.List(); len(rules) != 0 {
		t.Fatalf("used-up rule is still listed: %+v", rules)
	}
}

func TestProbability(t *testing.T) {
	s := New(everything)
	add(t, s, Rule{Down: true, Probability: ptr(0.5)})
	for chance, want := range map[float64]bool{0: true, 0.49: true, 0.5: false, 0.99: false} {
		s.chance = func() float64 { return chance }
		if got := s.Take(Call{}).Down; got != want {
			t.Errorf("with chance %v: down = %v, want %v", chance, got, want)
		}
	}
}

func TestRuleThatCannotActIsRefused(t *testing.T) {
	bad := map[string]Rule{
		"no effect":           {Match: Match{OrderID: "o1"}},
		"unknown operation":   {Match: Match{Operation: "chrage"}, Down: true},
		"status of a success": {Status: 200},
		"negative latency":    {LatencyMs: -1},
		"negative delay":      {DispatchAfterMs: ptr(int64(-1))},
		"probability above 1": {Down: true, Probability: ptr(1.5)},
		"no times":            {Down: true, Times: ptr(0)},
	}
	for name, rule := range bad {
		if _, err := New(everything).Add(rule); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	poor := New(Abilities{Operations: []string{"charge"}})
	for name, rule := range map[string]Rule{
		"decline": {Decline: "x"}, "refuse": {Refuse: "x"}, "delay": {DeliverAfterMs: ptr(int64(1))},
	} {
		if _, err := poor.Add(rule); err == nil {
			t.Errorf("%s: accepted by a server that cannot do it", name)
		}
	}
}

func TestRuleWithKnownIDIsReplaced(t *testing.T) {
	s := New(everything)
	add(t, s, Rule{ID: "fault-1", Down: true}, Rule{Status: 503}, Rule{ID: "fault-1", Status: 500})
	rules := s.List()
	if len(rules) != 2 || rules[0].Status != 500 || rules[1].ID != "fault-2" {
		t.Fatalf("rules = %+v", rules)
	}
}

func TestSwitchesOverHTTP(t *testing.T) {
	s := New(everything)
	mux := http.NewServeMux()
	s.Register(mux)
	server := httptest.NewServer(mux)
	defer server.Close()
	steps := []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/faults", "", 200, `{"faults":[]}`},
		{"POST", "/faults", `{"id":"slow","match":{"orderId":"o1"},"latencyMs":5}`, 201, `{"id":"slow","match":{"orderId":"o1"},"latencyMs":5}`},
		{"POST", "/faults", `{"down":true,"times":3}`, 201, `{"id":"fault-1","match":{},"down":true,"times":3}`},
		{"POST", "/faults", `{"dwon":true}`, 400, `unknown field`},
		{"POST", "/faults", `{"status":99}`, 422, `invalid_rule`},
		{"DELETE", "/faults/slow", "", 204, ``},
		{"DELETE", "/faults/slow", "", 404, `unknown_rule`},
		{"GET", "/faults", "", 200, `{"faults":[{"id":"fault-1","match":{},"down":true,"times":3}]}`},
		{"DELETE", "/faults", "", 204, ``},
		{"GET", "/faults", "", 200, `{"faults":[]}`},
	}
	for _, step := range steps {
		req, err := http.NewRequest(step.method, server.URL+step.path, strings.NewReader(step.body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != step.status || !strings.Contains(string(body), step.want) {
			t.Fatalf("%s %s %s = %d %s, want %d with %s", step.method, step.path, step.body, res.StatusCode, body, step.status, step.want)
		}
	}
}

func TestServeOnTheWire(t *testing.T) {
	cases := map[string]struct {
		rule     Rule
		answered bool
		status   int
		done     bool
	}{
		"healthy":     {Rule{Match: Match{OrderID: "other"}, Down: true}, true, 200, true},
		"status":      {Rule{Status: 503}, true, 503, false},
		"down":        {Rule{Down: true}, false, 0, false},
		"answer lost": {Rule{AnswerLost: true}, false, 0, true},
		"slow":        {Rule{LatencyMs: 1}, true, 200, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := New(everything)
			add(t, s, c.rule)
			done := false
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s.Serve(w, r, Call{Operation: "charge"}, func(Effect) wire.Answer {
					done = true
					return wire.Answer{Status: 200, Body: "done"}
				})
			}))
			res, err := http.Post(server.URL, "application/json", nil)
			if err == nil {
				res.Body.Close()
			}
			server.Close()
			if (err == nil) != c.answered || (err == nil && res.StatusCode != c.status) {
				t.Fatalf("answer %v, error %v", res, err)
			}
			if done != c.done {
				t.Fatalf("operation done = %v, want %v", done, c.done)
			}
		})
	}
}
