package faults

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"eventshop.example/cmd/shop/internal/verify"
	"eventshop.example/local/load"
	"eventshop.example/local/stack"
)

func TestTableIsComplete(t *testing.T) {
	t.Parallel()
	all := Table()
	if len(all) < 54 {
		t.Errorf("%d faults, want 54 at least", len(all))
	}
	names := map[string]bool{}
	for _, f := range all {
		if !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(f.Name) || names[f.Name] {
			t.Errorf("name %q is not fit for --only, or there twice", f.Name)
		}
		names[f.Name] = true
		if f.Family == "" || f.Done == "" || f.Expect == "" || f.run == nil {
			t.Errorf("%s is not complete: %+v", f.Name, f)
		}
		if strings.ContainsAny(f.Done+f.Expect, "|\n") {
			t.Errorf("%s: its words do not fit into a table", f.Name)
		}
	}
	for _, call := range []string{"charge", "refund", "schedule", "cancel"} {
		for _, way := range []string{"answer-lost", "slow", "5xx", "outage", "for-good"} {
			if !names[call+"-"+way] {
				t.Errorf("there is no fault %s-%s", call, way)
			}
		}
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	some, err := Select([]string{"zombies", "charge-slow"})
	if err != nil || len(some) != 2 || some[0].Name != "charge-slow" || some[1].Name != "zombies" {
		t.Errorf("selected %+v, %v; want the two in the table's order", some, err)
	}
	if all, err := Select(nil); err != nil || len(all) != len(Table()) {
		t.Errorf("selected %d of %d, %v", len(all), len(Table()), err)
	}
	if _, err := Select([]string{"zombies", "nonsense"}); err == nil || !strings.Contains(err.Error(), "nonsense") || !strings.Contains(err.Error(), "charge-slow") {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestSettingsAreOfProcessesThatExist(t *testing.T) {
	t.Parallel()
	for process, vars := range Settings() {
		if !slices.Contains(stack.Processes(), process) || len(vars) == 0 {
			t.Errorf("settings of %q: %v", process, vars)
		}
	}
	if got := Settings()["payment"]["RETRY_ATTEMPTS"]; got != "4" {
		t.Errorf("RETRY_ATTEMPTS %s; the faults count on %d", got, attempts)
	}
}

// TestOnlyWhatWasCheckedIsOK plants what may be wrong with a result, one thing at a time.
func TestOnlyWhatWasCheckedIsOK(t *testing.T) {
	t.Parallel()
	good := Result{Findings: []verify.Finding{{Invariant: "I1"}, {Invariant: "I2"}}}
	if !good.OK() || good.verdict() != "ok" {
		t.Errorf("a good result is not: %s", good.verdict())
	}
	for name, spoil := range map[string]func(r *Result){
		"expectation not met": func(r *Result) { r.Failures = []string{"order x is PENDING"} },
		"invariant broken":    func(r *Result) { r.Findings[1].Breaches = []string{"SKU x"} },
		"not verified":        func(r *Result) { r.Findings = nil },
	} {
		bad := Result{Findings: slices.Clone(good.Findings)}
		spoil(&bad)
		if bad.OK() {
			t.Errorf("%s: ok", name)
		}
		if line, ok := Summary([]Result{good, bad, good}, 3*time.Second); ok || line != "faults: 2 as expected, 1 not, in 3 s" {
			t.Errorf("%s: %q, %t", name, line, ok)
		}
	}
}

func TestReports(t *testing.T) {
	t.Parallel()
	results := []Result{
		{Fault: Fault{Name: "one", Family: "some", Done: "this", Expect: "that"}, Took: 2500 * time.Millisecond, Seen: []string{"much"},
			Figures:  Figures{Orders: 3, Ended: map[string]int{delivered: 2, cancelled: 1}, Retries: 1, DeadLetters: 2, Recovered: 1600 * time.Millisecond},
			Findings: []verify.Finding{{Invariant: "I1"}}},
		{Fault: Fault{Name: "two", Family: "some"}, Failures: []string{"no order"},
			Findings: []verify.Finding{{Invariant: "I7", Breaches: []string{"event lost"}}}},
	}
	var text, doc, told strings.Builder
	Print(&text, results)
	Markdown(&doc, results)
	for _, r := range results {
		progress(&told, r)
	}
	for _, c := range []struct{ in, want string }{
		{text.String(), `ok +one +3 +2 +1 +0 +1 +2 +0 +1.6 s +ok +2.5 s`},
		{text.String(), `NOT +two .*BREACH I7`},
		{doc.String(), `\| this \| that \| 3 orders, 1 retry, 2 dead letters \| 2 s \|`},
		{doc.String(), `not as expected`},
		{told.String(), `ok   3 orders: 2 DELIVERED, 1 CANCELLED; 1 retry, 2 dead letters; much; verify ok; 2.5 s`},
		{told.String(), `no order`},
		{told.String(), `I7: event lost`},
	} {
		if !regexp.MustCompile(c.want).MatchString(c.in) {
			t.Errorf("no %q in\n%s", c.want, c.in)
		}
	}
	b, err := json.Marshal(JSON(results, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		OK     bool
		Faults []struct {
			Name      string
			OK        bool
			Recovered float64 `json:"recoveredSeconds"`
			Breaches  []string
		}
	}
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if back.OK || len(back.Faults) != 2 || !back.Faults[0].OK || back.Faults[0].Recovered != 1.6 || !slices.Equal(back.Faults[1].Breaches, []string{"I7: event lost"}) {
		t.Errorf("JSON: %s", b)
	}
}

func TestFiguresCountWhatCameBetween(t *testing.T) {
	t.Parallel()
	var f Figures
	f.since(counts{retries: 10, deadLetters: 1, opened: map[string]int{"payment": 3, "shipping": 2}},
		counts{retries: 14, deadLetters: 1, opened: map[string]int{"payment": 5, "shipping": 1}}) // shipping was started again
	if f.Retries != 4 || f.DeadLetters != 0 || f.Opened != 3 {
		t.Errorf("figures %+v", f)
	}
}

func TestDuplicatesAreSecondOccurrencesOfEvents(t *testing.T) {
	t.Parallel()
	a, b := uuid.New(), uuid.New()
	n := duplicates(verify.Facts{Records: []verify.Record{
		{Topic: "order.events", ID: a}, {Topic: "order.events", ID: b}, {Topic: "order.events", ID: a},
		{Topic: "payment.events", ID: a},                 // another topic
		{Topic: "order.events"}, {Topic: "order.events"}, // no events
		{Topic: "order.events.payment.retry", ID: b}, // the same event on its way
		{Topic: "order.snapshots", ID: b}, {Topic: "order.snapshots", ID: b},
	}})
	if n != 1 {
		t.Errorf("%d duplicates, want 1", n)
	}
}

func TestSamplesAreAddedUp(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("# HELP x y\nx_total{name=\"a\",to=\"open\"} 2\nx_total{name=\"b\",to=\"open\"} 3\nx_total{name=\"a\",to=\"closed\"} 9\nx_total_more{to=\"open\"} 7\n")) //nolint:errcheck // the test sees it
	}))
	t.Cleanup(srv.Close)
	w := &world{http: load.NewClient(), file: stack.File{URL: map[string]string{"payment": srv.URL, "gone": srv.URL + "0"}}}
	if n, err := w.sample(t.Context(), "payment", "x_total", `to="open"`); n != 5 || err != nil {
		t.Errorf("%v, %v; want 5", n, err)
	}
	if _, err := w.sample(t.Context(), "gone", "x_total", ""); err == nil {
		t.Error("a process that does not answer is no error")
	}
}

// TestWhatWasDoneIsTakenBack: the latest first, once, whatever fails on the way.
func TestWhatWasDoneIsTakenBack(t *testing.T) {
	t.Parallel()
	var calls []string
	tr := &trial{}
	undo := func(name string, failures int) func(ctx context.Context) error {
		return tr.once(func(context.Context) error {
			calls = append(calls, name)
			if failures--; failures >= 0 {
				return errors.New(name + " failed")
			}
			return nil
		})
	}
	undo("first", 0)
	second := undo("second", 1)
	third := undo("third", 0)
	if err := third(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second(t.Context()); err == nil {
		t.Fatal("no error")
	}
	if err := tr.clean(t.Context()); err != nil {
		t.Error(err)
	}
	if want := []string{"third", "second", "second", "first"}; !slices.Equal(calls, want) {
		t.Errorf("taken back: %v, want %v", calls, want)
	}
}

// TestEveryKindHasAFault: what a record, a server around the shop and an order may be like.
func TestEveryKindHasAFault(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"dead-letters-refused", "huge-key", // the books of a failing record
		"second-traceparent", // advice that is wrong
		"registry-denies-ids", "registry-read-only", "registry-hangs", "table-and-grant-away", "login-refused",
		"database-read-only", "keys-locked", "broker-refuses-records", "broker-refuses-commits", // surroundings that refuse
		"order-over-all-of-int64",      // arithmetic
		"replay-from-before-the-inbox", // what the inbox forgot
	} {
		if _, err := Select([]string{name}); err != nil {
			t.Error(err)
		}
	}
}
