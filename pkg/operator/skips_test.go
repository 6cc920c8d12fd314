package operator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/retry"
)

type skip struct {
	Topic, Actor, Reason string
	Partition            int32
	Offset               int64
	AskedAt              time.Time
	SkippedAt            *time.Time
}

func TestSkip(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	body := `{"topic":"parcel.events","partition":3,"offset":42,"reason":"no table takes it"}`
	k := as[skip](f.do("POST", "/skips", body), 200)
	if k.Topic != "parcel.events" || k.Partition != 3 || k.Offset != 42 || k.Actor != "ada" || k.Reason != "no table takes it" || k.AskedAt.IsZero() || k.SkippedAt != nil {
		t.Errorf("%+v", k)
	}
	// When another operator repeats the request, the first request stays.
	again := as[skip](f.do("POST", "/skips", body, "X-Operator", "grace"), 200)
	if again.Actor != "ada" || !again.AskedAt.Equal(k.AskedAt) {
		t.Errorf("again: %+v", again)
	}
	err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		return f.store.Skipped(t.Context(), tx, retry.Record{Topic: "parcel.events", Partition: 3, Offset: 42, Time: time.Now()})
	})
	if err != nil {
		t.Fatal(err)
	}
	all := as[struct{ Skips []skip }](f.do("GET", "/skips", ""), 200).Skips
	if len(all) != 1 || all[0].SkippedAt == nil {
		t.Errorf("listed %+v", all)
	}
	if log := strings.Join(f.log.lines(), "\n"); !strings.Contains(log, `"record":"parcel.events/3/42"`) || !strings.Contains(log, `"operator":"ada"`) {
		t.Errorf("log %s", log)
	}
}

func TestSkipRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, body := range []string{
		`{"topic":"parcel.events","partition":3,"offset":42}`,
		`{"topic":"parcel.events","partition":3,"offset":42,"reason":" "}`,
		`{"topic":"","partition":3,"offset":42,"reason":"r"}`,
		`{"topic":"parcel.events","partition":-1,"offset":42,"reason":"r"}`,
		`{"topic":"parcel.events","partition":1,"offset":-42,"reason":"r"}`,
		`{"topic":"parcel.events","partition":99999999999,"offset":1,"reason":"r"}`,
	} {
		if a := f.do("POST", "/skips", body); a.Status != 422 {
			t.Errorf("%s: %d %s, want 422", body, a.Status, a.Text)
		}
	}
	// A record that is a dead letter is resubmitted or discarded, not skipped.
	r := f.placed("o-1")
	id := f.bury(r, true, errs.New(errs.Invalid, "bad"))
	f.do("POST", "/skips", fmt.Sprintf(`{"topic":%q,"partition":%d,"offset":%d,"reason":"r"}`, r.Topic, r.Partition, r.Offset)).
		refused(409, "", "is dead letter "+id.String())
}
