package retry

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
)

// copies returns the records in the outbox for the dead-letter topic, oldest first.
func (f *fixture) copies(t testing.TB) (all []outbox.Raw) {
	t.Helper()
	rows, err := f.pool.Query(t.Context(), `SELECT id, topic, key, payload, headers FROM outbox WHERE topic = $1 ORDER BY seq`,
		event.DeadLetterTopic(testTopic, f.group).Name)
	if err != nil {
		t.Fatal(err)
	}
	all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r outbox.Raw, err error) {
		return r, row.Scan(&r.ID, &r.Topic, &r.Key, &r.Payload, &r.Headers)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// value returns the value of a header given once, "" without it.
func value(t testing.TB, headers []event.Header, name string) (v string) {
	t.Helper()
	n := 0
	for _, h := range headers {
		if h.Key == name {
			v = string(h.Value)
			n++
		}
	}
	if n > 1 {
		t.Errorf("header %s is given %d times", name, n)
	}
	return v
}

// TestADeadLettersCopyIsTheOriginalAndItsStory: the copy has the original record and its failures.
// When the same dead letter fails again, a further copy has the same dead letter's id and a row of
// its own.
func TestADeadLettersCopyIsTheOriginalAndItsStory(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	l := f.letter("o-1")
	id := f.bury(t, l)
	resubmit(t, f, id)
	f.fail(t, f.onlyHead(t), errors.New("still broken"))
	all := f.copies(t)
	if len(all) != 2 || all[0].ID == all[1].ID {
		t.Fatalf("%d copies, want 2 with ids of their own", len(all))
	}
	for i, want := range []map[string]string{
		{HeaderDLQAttempts: "1", HeaderDLQErrorMessage: l.Message, HeaderDLQErrorClass: "invalid", HeaderDLQErrorStack: "stack"},
		{HeaderDLQAttempts: "2", HeaderDLQErrorMessage: "still broken", HeaderDLQErrorClass: "internal", HeaderDLQErrorStack: ""},
	} {
		c := all[i]
		if !bytes.Equal(c.Key, l.Key) || !bytes.Equal(c.Payload, l.Value) || value(t, c.Headers, "ce_type") != "ParcelAccepted" {
			t.Errorf("copy %d: key %q, payload %q, headers %v", i, c.Key, c.Payload, c.Headers)
		}
		want[HeaderDLQID], want[HeaderDLQTopic], want[HeaderDLQGroup] = id.String(), testTopic, "doors"
		want[HeaderDLQPartition], want[HeaderDLQOffset] = "3", "1"
		want[HeaderDLQTimestamp], want[HeaderDLQFirstFailure] = stamp(l.Time), stamp(l.First)
		want[HeaderDLQPayloadOmitted] = ""
		for name, v := range want {
			if got := value(t, c.Headers, name); got != v {
				t.Errorf("copy %d: %s = %q, want %q", i, name, got, v)
			}
		}
	}
	if first, last := value(t, all[0].Headers, HeaderDLQLastFailure), value(t, all[1].Headers, HeaderDLQLastFailure); first != stamp(l.Last) || first == last {
		t.Errorf("last failure %q, then %q", first, last)
	}
}

// TestACopyThatDoesNotFitLeavesOutWhatTheTableHas: first the payload, then headers and key.
func TestACopyThatDoesNotFitLeavesOutWhatTheTableHas(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	payload, headers := f.poison("k"), f.poison("k")
	payload.Value = bytes.Repeat([]byte("v"), outbox.MaxRaw)
	headers.Headers = []event.Header{text("h", strings.Repeat("h", outbox.MaxRaw))}
	key := f.poison(strings.Repeat("k", outbox.MaxRaw))
	letters := []Letter{payload, headers, key}
	for _, l := range letters {
		f.bury(t, l)
	}
	all := f.copies(t)
	if len(all) != 3 {
		t.Fatalf("%d copies, want 3", len(all))
	}
	for i, want := range []struct{ key, header string }{{"k", "ParcelAccepted"}, {"", ""}, {"", ""}} {
		c := all[i]
		if string(c.Key) != want.key || value(t, c.Headers, "ce_type") != want.header || len(c.Payload) != 0 {
			t.Errorf("copy %d: key %.10q, ce_type %q, %d bytes", i, c.Key, value(t, c.Headers, "ce_type"), len(c.Payload))
		}
		if value(t, c.Headers, HeaderDLQOffset) == "" || value(t, c.Headers, HeaderDLQPayloadOmitted) != strconv.Itoa(len(letters[i].Value)) {
			t.Errorf("copy %d lacks its story: %v", i, c.Headers)
		}
	}
}

// TestWhatParksNothingLetsItsFollowersGoOn: a record that is no event is resubmitted and fails
// again. It is open again and parks no key.
func TestWhatParksNothingLetsItsFollowersGoOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := f.bury(t, f.poison("o-1"))
	resubmit(t, f, id)
	h := f.onlyHead(t)
	f.tx(t, func(tx pgx.Tx) error {
		if current, err := f.Take(t.Context(), tx, h); err != nil || !current {
			t.Fatalf("take: %v, %v", current, err)
		}
		failed := h
		failed.Failure = failed.Failed(errors.New("rubbish still"), nil, time.Now())
		got, parked, err := f.BuryHead(t.Context(), tx, h.ID, failed, uuid.Nil)
		if err != nil || parked || got != id {
			t.Errorf("dead letter %s, parked %v, %v", got, parked, err)
		}
		return f.Release(t.Context(), tx, h.ParkedKey())
	})
	d := f.details(t, id)
	if d.Status != StatusOpen || d.Attempts != 2 || d.Parks || d.Message != "rubbish still" {
		t.Errorf("afterwards: %+v", d.DeadLetter)
	}
}

// TestOnlyWhatIsResubmittedIsResolved: an open or a discarded dead letter had no effect.
func TestOnlyWhatIsResubmittedIsResolved(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	resolve := func(id uuid.UUID) (err error) {
		f.tx(t, func(tx pgx.Tx) error {
			err = f.Resolve(t.Context(), tx, id, "handled")
			return nil
		})
		return err
	}
	id := f.bury(t, f.letter("o-1"))
	wantKind(t, resolve(id), errs.Internal)
	resubmit(t, f, id)
	if err := resolve(id); err != nil {
		t.Fatal(err)
	}
	d := f.details(t, id)
	if d.Status != StatusResolved || d.ClosedAt.IsZero() {
		t.Errorf("status %s, closed at %s", d.Status, d.ClosedAt)
	}
	if diff := cmp.Diff([]string{"dead_lettered", "resubmitted", "resolved"}, f.actions(t, id)); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	wantKind(t, resolve(id), errs.Internal)
}

// TestAFailureCountsAttemptsAndKeepsTheFirst: its texts are cut to fit.
func TestAFailureCountsAttemptsAndKeepsTheFirst(t *testing.T) {
	t.Parallel()
	at := time.Unix(100, 0)
	f := Failure{}.Failed(errors.New("one"), []byte("1"), at)
	f = f.Failed(errs.New(errs.Conflict, "two \x00 \xff %s", strings.Repeat("é", maxErrorText)), bytes.Repeat([]byte("s"), maxErrorText+1), at.Add(time.Second))
	if f.Attempts != 2 || !f.First.Equal(at) || !f.Last.Equal(at.Add(time.Second)) || f.Class != "conflict" {
		t.Errorf("%+v", f)
	}
	for _, s := range []string{f.Message, f.Stack} {
		if len(s) > maxErrorText+16 || !strings.HasSuffix(s, "…") || strings.ContainsRune(s, 0) || strings.ToValidUTF8(s, "") != s {
			t.Errorf("%d bytes, ending in %q", len(s), s[len(s)-8:])
		}
	}
	if got := clip("as it is"); got != "as it is" {
		t.Errorf("clip changed %q", got)
	}
}

// TestParseHeadRefuses covers records that are no retry record of this group.
func TestParseHeadRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.park(t, "o-1")
	h := f.onlyHead(t)
	good := h.headers("doors")
	if got, omitted, err := ParseHead("doors", h.Key, h.Value, good); err != nil || omitted || got.ID != h.ID {
		t.Fatalf("%+v, %v, %v", got, omitted, err)
	}
	// Operators see the type of an event even if its advisory headers are wrong.
	traced := append(slices.Clone(good), text(event.HeaderID, h.ID.String()), text(event.HeaderSubject, "o-1"),
		text(event.HeaderAggregateVersion, "1"), text(event.HeaderTraceParent, "one"), text(event.HeaderTraceParent, "two"))
	if got, _, err := ParseHead("doors", h.Key, h.Value, traced); err != nil || got.EventType != "ParcelAccepted" {
		t.Errorf("with a second traceparent it is a %q, %v", got.EventType, err)
	}
	if _, _, err := ParseHead("notices", h.Key, h.Value, good); errs.KindOf(err) != errs.Hopeless {
		t.Errorf("of another group: %v", err)
	}
	for _, name := range []string{
		HeaderRetryID, HeaderRetryGroup, HeaderAttempts, HeaderNotBefore, HeaderPartition, HeaderOffset, HeaderTimestamp,
		HeaderInboxID, HeaderFirstFailure, HeaderLastFailure,
	} {
		without := slices.DeleteFunc(slices.Clone(good), func(x event.Header) bool { return x.Key == name })
		if _, _, err := ParseHead("doors", h.Key, h.Value, without); errs.KindOf(err) != errs.Hopeless {
			t.Errorf("without %s: %v", name, err)
		}
		if _, _, err := ParseHead("doors", h.Key, h.Value, append(without, text(name, "x"))); errs.KindOf(err) != errs.Hopeless {
			t.Errorf("%s is no such thing: %v", name, err)
		}
	}
}
