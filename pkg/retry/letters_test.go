package retry

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
)

func TestDeadLetterKeepsEveryByte(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, change := range map[string]func(*Record){
		"as it is":      func(*Record) {},
		"no key":        func(r *Record) { r.Key = nil },
		"empty key":     func(r *Record) { r.Key = []byte{} },
		"key no text":   func(r *Record) { r.Key = []byte{0, 0xff} },
		"tombstone":     func(r *Record) { r.Value = nil },
		"empty payload": func(r *Record) { r.Value = []byte{} },
		"no headers":    func(r *Record) { r.Headers = []event.Header{} },
		"odd headers": func(r *Record) {
			r.Headers = []event.Header{{Key: "\x00", Value: []byte{0}}, {Key: "\xff"}, {Key: "a", Value: []byte{}}}
		},
		"large payload":  func(r *Record) { r.Value = bytes.Repeat([]byte{0, 0xff}, 500_000) },
		"headers of its": func(r *Record) { r.Headers = []event.Header{{Key: HeaderSkip, Value: []byte("true")}} },
	} {
		l := f.poison("k")
		change(&l.Record)
		d := f.details(t, f.bury(t, l))
		if diff := cmp.Diff(l.Record, d.Original); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(d.Original, d.Effective()); diff != "" || d.Edited {
			t.Errorf("%s, unedited: %s", name, diff)
		}
		if !cmp.Equal(d.Failure, l.Failure) || d.InboxID != l.InboxID || d.EventID != uuid.Nil {
			t.Errorf("%s: %+v", name, d.DeadLetter)
		}
		// An edited record reads back as it was passed, too.
		e := Edit{Key: &l.Key, Value: &l.Value, Headers: l.Headers}
		if name == "headers of its" {
			continue
		}
		if _, err := f.Edit(t.Context(), f.pool, d.ID, "ada", e, false); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d = f.details(t, d.ID); d.Repaired == nil || !d.Edited {
			t.Errorf("%s is not edited", name)
		} else if diff := cmp.Diff(l.Record, *d.Repaired); diff != "" {
			t.Errorf("%s, edited (-want +got):\n%s", name, diff)
		}
	}
}

// A foreign producer's header must not make a retry record a discarded one, or another's.
func TestHeadersOfStrangersAreNotBelieved(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	l := f.letter("o-1")
	for _, name := range []string{HeaderSkip, HeaderPayloadOmitted} {
		l.Headers = append(l.Headers, text(name, "true"))
	}
	l.Headers = append(l.Headers, text(HeaderErrorStack, "x"), text(HeaderDeadLetter, uuid.NewString()))
	id := f.bury(t, l)
	resubmit(t, f, id)
	heads, omitted := f.sent(t)
	if len(heads) != 1 || heads[0].Skip || omitted[0] || heads[0].DeadLetter != id || heads[0].Stack != "" {
		t.Errorf("%+v, omitted %v", heads, omitted)
	}
}

func TestEditBuildsOnTheEditBefore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	l := f.poison("k")
	l.Headers = []event.Header{text("a", "1"), text("b", "2"), text("a", "3")}
	id := f.bury(t, l)
	edit := func(e Edit) Details {
		t.Helper()
		if _, err := f.Edit(t.Context(), f.pool, id, "ada", e, false); err != nil {
			t.Fatal(err)
		}
		return f.details(t, id)
	}
	value, key := []byte("v"), []byte("other")
	edit(Edit{Value: &value, Note: "why"})
	edit(Edit{Key: &key})
	d := edit(Edit{Set: []event.Header{text("a", "4"), text("c", "5")}})
	want := l.Record
	want.Key, want.Value, want.Headers = key, value, []event.Header{text("b", "2"), text("a", "4"), text("c", "5")}
	if diff := cmp.Diff(want, d.Effective()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(l.Record, d.Original); diff != "" {
		t.Errorf("original (-want +got):\n%s", diff)
	}
	all, err := f.Actions(t.Context(), f.pool, id)
	if err != nil {
		t.Fatal(err)
	}
	var details []string
	for _, a := range all[1:] {
		details = append(details, a.Detail)
	}
	if diff := cmp.Diff([]string{"why (payload of 1 bytes (was 12))", `key "other" (was "k")`, `header "a", header "c"`}, details); diff != "" {
		t.Errorf("audit trail (-want +got):\n%s", diff)
	}

	// Its key is now the other one, so it waits there when that is parked.
	f.bury(t, f.letter("other"))
	got, err := f.Resubmit(t.Context(), f.pool, id, "ada", "", false)
	if err != nil || !got.Waits {
		t.Errorf("%+v, %v", got, err)
	}
	keys, err := f.ParkedKeys(t.Context(), f.pool, 0)
	if err != nil || len(keys) != 1 || string(keys[0].Key) != "other" || keys[0].Followers != 1 {
		t.Errorf("%+v, %v", keys, err)
	}
}

func TestEditRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.bury(t, f.letter("o-1"))
	before := f.snapshot(t)
	key := []byte("o-2")
	for name, e := range map[string]Edit{
		"nothing":             {Note: "n"},
		"another key":         {Key: &key},
		"no key":              {Key: new([]byte)},
		"headers of its own":  {Headers: []event.Header{text(HeaderSkip, "true")}},
		"one header likewise": {Set: []event.Header{text(HeaderRetryID, "x")}},
		"too large headers":   {Set: []event.Header{text("a", strings.Repeat("x", outbox.MaxRaw))}},
	} {
		_, err := f.Edit(t.Context(), f.pool, id, "ada", e, false)
		if errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	same := []byte("o-1")
	if _, err := f.Edit(t.Context(), f.pool, id, "ada", Edit{Key: &same}, true); err != nil {
		t.Errorf("the key it has: %v", err)
	}
	if diff := cmp.Diff(before, f.snapshot(t)); diff != "" {
		t.Errorf("a refused edit changed (-before +after):\n%s", diff)
	}
}

// The largest key and headers that an edit accepts still fit on both topics.
func TestEditedEnvelopeFits(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	l := f.letter("o-1")
	l.Headers = nil
	l.Failure = Failure{}.Failed(errs.New(errs.Internal, "%s", strings.Repeat("m", 2*maxErrorText)), bytes.Repeat([]byte("s"), 2*maxErrorText), time.Now())
	id := f.bury(t, l)
	size := maxEnvelope - (outbox.Raw{Key: l.Key, Headers: []event.Header{text("a", "")}}).Size()
	if _, err := f.Edit(t.Context(), f.pool, id, "ada", Edit{Set: []event.Header{text("a", strings.Repeat("x", size))}}, false); err != nil {
		t.Fatal(err)
	}
	resubmit(t, f, id)
	f.fail(t, f.onlyHead(t), errs.New(errs.Internal, "%s", strings.Repeat("m", 2*maxErrorText)))
	resubmit(t, f, id)
}

func TestStatsAndMetrics(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg, f.group)
	f.tx(t, func(tx pgx.Tx) error { // another group's is not counted
		_, err := New("notices", f.out).Bury(t.Context(), tx, f.letter("o-1"))
		return err
	})

	id := f.bury(t, f.letter("o-1"))
	f.follow(t, "o-1", 2)
	resubmit(t, f, f.bury(t, f.letter("o-2")))
	f.bury(t, f.poison("o-3"))
	if _, err := f.pool.Exec(t.Context(), `UPDATE parked_keys SET not_before = now() - interval '11 minutes'`); err != nil {
		t.Fatal(err)
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE dead_letters SET created_at = now() - interval '1 hour' WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	if err := m.Measure(t.Context(), f.pool); err != nil {
		t.Fatal(err)
	}
	got := gauges(t, reg)
	if age := got["dead_letter_oldest_seconds parcel.events"]; age < 3600 || age > 3700 {
		t.Errorf("oldest is %v s old", age)
	}
	delete(got, "dead_letter_oldest_seconds parcel.events")
	want := map[string]float64{
		"dead_letters open parcel.events": 2, "dead_letters resubmitted parcel.events": 1,
		"parked_keys dead": 1, "parked_keys retrying": 1,
		"parked_records": 2, "retries_overdue": 1, "retry_measure_errors_total": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// A series whose rows are gone is 0 and does not disappear.
	if _, err := f.pool.Exec(t.Context(), `DELETE FROM parked_records; DELETE FROM parked_keys; DELETE FROM dead_letters`); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.Measure(t.Context(), f.pool); err != nil {
			t.Fatal(err)
		}
	}
	for name, v := range gauges(t, reg) {
		if v != 0 {
			t.Errorf("%s is %v, want 0", name, v)
		}
	}
	if n := len(gauges(t, reg)); n != len(want)+1 {
		t.Errorf("%d series, want %d", n, len(want)+1)
	}
}

// gauges returns all series by name and label values, without the group's label.
func gauges(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, l := range m.GetLabel() {
				if l.GetName() == "group" {
					if l.GetValue() != "doors" {
						t.Errorf("%s of group %s", name, l.GetValue())
					}
					continue
				}
				name += " " + l.GetValue()
			}
			all[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return all
}

func TestMaintainKeepsWhatIsNotClosed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	open, closed, fresh := f.bury(t, f.letter("o-1")), f.bury(t, f.letter("o-2")), f.bury(t, f.letter("o-3"))
	for _, id := range []uuid.UUID{closed, fresh} {
		if _, err := f.Discard(t.Context(), f.pool, id, "ada", "r", false); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.pool.Exec(t.Context(), `UPDATE dead_letters SET created_at = created_at - interval '1 year',
		closed_at = CASE WHEN id = $1 THEN closed_at - interval '31 days' ELSE closed_at END`, closed); err != nil {
		t.Fatal(err)
	}
	if err := f.Maintain(t.Context(), f.pool, time.Now()); err != nil {
		t.Fatal(err)
	}
	page, more, err := f.List(t.Context(), f.pool, Filter{})
	if err != nil || more || len(page) != 2 || page[0].ID != open || page[1].ID != fresh {
		t.Errorf("%+v, %v, %v", page, more, err)
	}
	if left := f.actions(t, closed); len(left) != 0 {
		t.Errorf("its audit trail stayed: %v", left)
	}
}
