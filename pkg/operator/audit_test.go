package operator_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"eventshop.example/pkg/errs"
)

// changes returns the changes in the log, each as "what by whom".
func (f *fixture) changes() (all []string) {
	f.t.Helper()
	for _, line := range f.log.lines() {
		if line == "" {
			continue
		}
		var l struct{ Msg, Operator string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			f.t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s by %s", l.Msg, l.Operator))
	}
	return all
}

// TestEveryChangeIsLoggedOnceWithItsAuthor covers changes of dead letters and of the outbox.
// Reading requests, dry runs and refused requests are no changes.
func TestEveryChangeIsLoggedOnceWithItsAuthor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	one, two := f.failed("o-1"), f.failed("o-2")
	for _, c := range []struct {
		method, target, body string
		status               int
		logged               string
	}{
		{"GET", "/dead-letters", "", 200, ""},
		{"GET", path(one), "", 200, ""},
		{"PATCH", path(one), `{"payloadBase64":"AA==","dryRun":true}`, 200, ""},
		{"PATCH", path(one), `{}`, 422, ""},
		{"PATCH", path(one), `{"payloadBase64":"AA=="}`, 200, "dead letter edited by grace"},
		{"POST", path(one, "resubmit"), `{"dryRun":true}`, 200, ""},
		{"POST", path(one, "resubmit"), ``, 200, "dead letter resubmitted by grace"},
		{"POST", path(one, "discard"), `{"reason":"r"}`, 409, ""},
		{"POST", path(two, "discard"), `{"reason":"r","dryRun":true}`, 200, ""},
		{"POST", path(two, "discard"), `{}`, 422, ""},
		{"POST", path(two, "discard"), `{"reason":"r"}`, 200, "dead letter discarded by grace"},
		{"POST", "/outbox/republish", `{"dryRun":true}`, 200, ""},
		{"POST", "/outbox/republish", `{}`, 200, "outbox rows will be published again by grace"},
		{"POST", "/outbox/hold", `{}`, 422, ""},
		{"POST", "/outbox/hold", `{"reason":"r"}`, 204, "outbox on hold by grace"},
		{"POST", "/outbox/release", ``, 204, "outbox released by grace"},
		{"PUT", "/outbox/relay", `{"mode":"debezium","slot":"none_such"}`, 409, ""},
		{"PUT", "/outbox/relay", `{"mode":"polling"}`, 204, "outbox relay changed by grace"},
	} {
		before := f.changes()
		var headers []string
		if c.method != "GET" {
			headers = []string{"X-Operator", "grace"}
		}
		if a := f.do(c.method, c.target, c.body, headers...); a.Status != c.status {
			t.Errorf("%s %s %s: %d %s, want %d", c.method, c.target, c.body, a.Status, a.Text, c.status)
		}
		news := f.changes()[len(before):]
		if want := strings.Fields(c.logged); len(news) != min(len(want), 1) || len(want) > 0 && news[0] != c.logged {
			t.Errorf("%s %s %s: logged %q, want %q", c.method, c.target, c.body, news, c.logged)
		}
	}
	got := actionsOf(as[detail](f.do("GET", path(one), ""), 200))
	if want := []string{"doors dead_lettered", "grace edited", "grace resubmitted"}; !slices.Equal(got, want) {
		t.Errorf("actions %q, want %q", got, want)
	}
	got = actionsOf(as[detail](f.do("GET", path(two), ""), 200))
	if want := []string{"doors dead_lettered", "grace discarded"}; !slices.Equal(got, want) {
		t.Errorf("actions %q, want %q", got, want)
	}
}

// TestNoOperatorActsWithoutAName also covers a name that could end a line of the log or be invisible in
// it.
func TestNoOperatorActsWithoutAName(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.failed("o-1")
	before := f.snapshot()
	for _, name := range []string{"", "a\nb", "a\tb", "a\x00b", "a\u200bb", "a\u202eb", "\xff", strings.Repeat("x", 101)} {
		for _, c := range []struct{ method, target, body string }{
			{"PATCH", path(id), `{"payloadBase64":"AA=="}`},
			{"POST", path(id, "resubmit"), ``},
			{"POST", path(id, "discard"), `{"reason":"r"}`},
			{"POST", "/outbox/republish", `{}`},
			{"POST", "/outbox/hold", `{"reason":"r"}`},
			{"POST", "/outbox/release", ``},
			{"PUT", "/outbox/relay", `{"mode":"polling"}`},
		} {
			if a := f.do(c.method, c.target, c.body, "X-Operator", name); a.Status != 400 {
				t.Errorf("%q, %s %s: %d %s", name, c.method, c.target, a.Status, a.Text)
			}
		}
	}
	if f.snapshot() != before || len(f.changes()) != 0 {
		t.Error("something was changed")
	}
}

// TestTheChangeOfTheRelayNamesItsAuthor: the name appears where the next operator looks.
func TestTheChangeOfTheRelayNamesItsAuthor(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.pool.Exec(t.Context(), `UPDATE outbox_mode SET mode = 'debezium', slot = 'gone', set_by = 'grace'`); err != nil {
		t.Fatal(err)
	}
	if a := f.do("PUT", "/outbox/relay", `{"mode":"polling"}`); a.Status != 204 {
		t.Fatalf("%d %s", a.Status, a.Text)
	}
	if got := as[struct{ By string }](f.do("GET", "/outbox/relay", ""), 200); got.By != "ada" {
		t.Errorf("set by %q", got.By)
	}
}

// TestPagesOfDeadLettersMeet: the pages contain each letter exactly once, however the letters were
// created.
func TestPagesOfDeadLettersMeet(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want := map[string]bool{}
	for i := range 7 {
		want[f.bury(f.placed(fmt.Sprintf("o-%d", i)), true, errs.New(errs.Invalid, "x")).String()] = true
	}
	after, pages := "", 0
	for ; pages < 10; pages++ {
		p := as[page](f.do("GET", "/dead-letters?limit=3"+after, ""), 200)
		for _, d := range p.DeadLetters {
			if !want[d.ID] {
				t.Errorf("%s comes twice, or is a stranger", d.ID)
			}
			delete(want, d.ID)
		}
		if p.Next == "" {
			break
		}
		after = "&after=" + p.Next
	}
	if len(want) != 0 || pages != 2 {
		t.Errorf("%d letters left out, %d pages before the last", len(want), pages)
	}
}
