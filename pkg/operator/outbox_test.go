package operator_test

import (
	"testing"

	"github.com/google/uuid"

	"eventshop.example/pkg/outbox"
)

func TestOutbox(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tx, err := f.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw := outbox.Raw{ID: uuid.Must(uuid.NewV7()), Topic: "parcel.events", Key: []byte("k"), Payload: []byte("v")}
	if err := f.outbox.AppendRaw(t.Context(), tx, raw); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	type description struct {
		Unpublished, Published int64
		Leases, Partitions     []any
		Topics                 []struct {
			Topic                  string
			Unpublished, Published int64
		}
	}
	got := as[description](f.do("GET", "/outbox", ""), 200)
	if got.Unpublished != 1 || got.Published != 0 || len(got.Topics) != 1 || got.Topics[0].Topic != "parcel.events" || len(got.Leases) == 0 || len(got.Partitions) == 0 {
		t.Errorf("%+v", got)
	}
	if _, err := f.pool.Exec(t.Context(), `DELETE FROM outbox_queue`); err != nil {
		t.Fatal(err)
	}
	type rows struct{ Rows int64 }
	for _, c := range []struct {
		body string
		want int64
		left int64 // unpublished after it
	}{
		{`{"topics": ["door.events"]}`, 0, 0},
		{`{"until": "2001-01-01T00:00:00Z"}`, 0, 0},
		{`{"dryRun": true}`, 1, 0},
		{`{"topics": ["parcel.events"], "since": "2001-01-01T00:00:00Z"}`, 1, 1},
		{`{}`, 0, 1},
	} {
		if got := as[rows](f.do("POST", "/outbox/republish", c.body), 200); got.Rows != c.want {
			t.Errorf("%s: %d rows, want %d", c.body, got.Rows, c.want)
		}
		if got := as[description](f.do("GET", "/outbox", ""), 200); got.Unpublished != c.left {
			t.Errorf("%s: %d unpublished, want %d", c.body, got.Unpublished, c.left)
		}
	}
	for _, bad := range []string{`{"since": "yesterday"}`, `{"topic": "parcel.events"}`, ``} {
		if a := f.do("POST", "/outbox/republish", bad); a.Status != 422 && a.Status != 400 {
			t.Errorf("%q: %d %s", bad, a.Status, a.Text)
		}
	}
}

func TestHoldAndRelease(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	held := func() (n int) {
		t.Helper()
		if err := f.pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox_hold WHERE reason = 'ada: its disk is gone'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, bad := range []string{`{}`, `{"reason": ""}`, ``} {
		if a := f.do("POST", "/outbox/hold", bad); a.Status != 422 && a.Status != 400 {
			t.Errorf("%q: %d %s", bad, a.Status, a.Text)
		}
	}
	for range 2 { // a repetition is harmless
		if a := f.do("POST", "/outbox/hold", `{"reason": "its disk is gone"}`); a.Status != 204 || held() != 1 {
			t.Errorf("hold: %d %s, %d held", a.Status, a.Text, held())
		}
	}
	for range 2 {
		if a := f.do("POST", "/outbox/release", ""); a.Status != 204 || held() != 0 {
			t.Errorf("release: %d %s, %d held", a.Status, a.Text, held())
		}
	}
	if a := f.do("POST", "/outbox/release", "", "X-Operator", ""); a.Status != 400 {
		t.Errorf("release by nobody: %d %s", a.Status, a.Text)
	}
}
