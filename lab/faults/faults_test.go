package faults

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"eventshop.example/lab/load"
	"eventshop.example/local/stack"
	"eventshop.example/ops/verify"
)

func TestTableIsComplete(t *testing.T) {
	t.Parallel()
	all := Table()
	if len(all) < 57 {
		t.Errorf("%d faults, want 57 at least", len(all))
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

// TestOnlyWhatWasCheckedIsOK plants each possible failure of a result, one at a time.
func TestOnlyWhatWasCheckedIsOK(t *testing.T) {
	t.Parallel()
	good := Result{Findings: []verify.Finding{{Invariant: "I1"}, {Invariant: "I2"}}}
	if !good.OK() || good.Verdict() != "ok" {
		t.Errorf("a good result is not: %s", good.Verdict())
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

// TestWhatIsNotCheckedIsNotAsExpected: an unchecked invariant is a failure and not a broken
// invariant.
func TestWhatIsNotCheckedIsNotAsExpected(t *testing.T) {
	t.Parallel()
	r := Result{Findings: []verify.Finding{{Invariant: "I1"}, {Invariant: "I7", NotChecked: true}}, Failures: []string{"verify: 3 events cannot be decoded"}}
	if r.OK() || len(r.Broken()) > 0 || r.Verdict() != "not checked in full" {
		t.Errorf("ok %t, broken %v, %q", r.OK(), r.Broken(), r.Verdict())
	}
}

func TestFiguresCountWhatCameBetween(t *testing.T) {
	t.Parallel()
	var f Figures
	f.since(counts{retries: 10, deadLetters: 1, opened: map[string]int{"payment": 3, "shipping": 2}},
		counts{retries: 14, deadLetters: 1, opened: map[string]int{"payment": 5, "shipping": 1}}) // shipping was restarted
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
		{Topic: "order.events"}, {Topic: "order.events"}, // not events
		{Topic: "order.events.payment.retry", ID: b}, // a retry of the same event
		{Topic: "order.snapshots", ID: b}, {Topic: "order.snapshots", ID: b},
	}})
	if n != 1 {
		t.Errorf("%d duplicates, want 1", n)
	}
}

func TestSamplesAreAddedUp(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("# HELP x y\nx_total{name=\"a\",to=\"open\"} 2\nx_total{name=\"b\",to=\"open\"} 3\nx_total{name=\"a\",to=\"closed\"} 9\nx_total_more{to=\"open\"} 7\n"))
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

// TestWhatWasDoneIsTakenBack: steps are undone once, the latest first, even if some fail.
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

// TestEveryKindHasAFault checks the kinds of faults of records, servers and orders.
func TestEveryKindHasAFault(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"dead-letters-refused", "huge-key", // storing a failure fails
		"second-traceparent", // invalid advisory headers
		"registry-denies-ids", "registry-read-only", "registry-hangs", "table-and-grant-away", "login-refused",
		"database-read-only", "keys-locked", "broker-refuses-records", "broker-refuses-commits", // servers that refuse
		"order-over-all-of-int64",      // arithmetic
		"replay-from-before-the-inbox", // events that the inbox no longer has
	} {
		if _, err := Select([]string{name}); err != nil {
			t.Error(err)
		}
	}
}
