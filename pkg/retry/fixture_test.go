package retry

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

const testTopic = "parcel.events"

// fixture is the database of one group.
type fixture struct {
	*Store
	pool   *pgxpool.Pool
	offset int64
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	db := pgtest.NewSeparate(t, outbox.Component(), Component())
	db.Migrate(t)
	pool := db.App(t)
	return &fixture{Store: New("doors", outbox.New(outbox.Config{Source: "/test"})), pool: pool}
}

// record returns the next record of the topic.
func (f *fixture) record(key string) Record {
	f.offset++
	return Record{
		Topic: testTopic, Partition: 3, Offset: f.offset, Time: time.Now().UTC().Truncate(time.Microsecond),
		Key: []byte(key), Value: []byte("payload of " + key), Headers: []event.Header{{Key: "ce_type", Value: []byte("ParcelAccepted")}},
	}
}

// letter returns a failed event.
func (f *fixture) letter(key string) Letter {
	r := f.record(key)
	return Letter{
		Record: r, InboxID: uuid.Must(uuid.NewV7()), EventID: uuid.Must(uuid.NewV7()), EventType: "ParcelAccepted",
		Failure: Failure{}.Failed(errs.New(errs.Invalid, "amount is negative\nsecond line"), []byte("stack"), time.Now().UTC().Truncate(time.Microsecond)),
		Parks:   true,
	}
}

// poison returns a failed record that is no event of its key.
func (f *fixture) poison(key string) Letter {
	l := f.letter(key)
	l.Parks, l.EventID, l.EventType, l.Class = false, uuid.Nil, "", errs.Hopeless.String()
	return l
}

func (f *fixture) tx(t testing.TB, fn func(tx pgx.Tx) error) {
	t.Helper()
	if err := postgres.InTx(context.Background(), f.pool, fn); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) bury(t testing.TB, l Letter) (id uuid.UUID) {
	t.Helper()
	f.tx(t, func(tx pgx.Tx) (err error) {
		id, err = f.Bury(t.Context(), tx, l)
		return err
	})
	return id
}

// follow appends n records behind the head of a key.
func (f *fixture) follow(t testing.TB, key string, n int) {
	t.Helper()
	f.tx(t, func(tx pgx.Tx) error {
		for range n {
			follower := Follower{Record: f.record(key), InboxID: uuid.Must(uuid.NewV7()), EventType: "ParcelLabelled"}
			if err := f.Follow(t.Context(), tx, follower); err != nil {
				return err
			}
		}
		return nil
	})
}

// fail does what a consumer does when the attempts of a resubmitted dead letter that parks are
// spent.
func (f *fixture) fail(t testing.TB, h Head, err error) {
	t.Helper()
	h.Failure = h.Failed(err, nil, time.Now())
	f.tx(t, func(tx pgx.Tx) error {
		if current, err := f.Take(t.Context(), tx, h); err != nil || !current {
			return errors.Join(err, errors.New("take"))
		}
		parks, err := f.reopen(t.Context(), tx, h)
		if err != nil || !parks {
			return err
		}
		return f.move(t.Context(), tx, h.ParkedKey(), h.ID, "dead", h.DeadLetter, h, nil)
	})
}

// sent returns the records in the outbox for a topic, oldest first, as retry records.
func (f *fixture) sent(t testing.TB) (heads []Head, omitted []bool) {
	t.Helper()
	rows, err := f.pool.Query(t.Context(), `SELECT key, payload, headers FROM outbox WHERE topic = $1 ORDER BY seq`,
		event.RetryTopic(testTopic, f.group).Name)
	if err != nil {
		t.Fatal(err)
	}
	var key, payload []byte
	var headers []event.Header
	_, err = pgx.ForEachRow(rows, []any{&key, &payload, &headers}, func() error {
		h, o, err := ParseHead(f.group, key, payload, headers)
		heads, omitted = append(heads, h), append(omitted, o)
		key, payload, headers = nil, nil, nil
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return heads, omitted
}

// onlyHead returns the one retry record that was sent.
func (f *fixture) onlyHead(t testing.TB) Head {
	t.Helper()
	heads, _ := f.sent(t)
	if len(heads) != 1 {
		t.Fatalf("%d retry records, want 1", len(heads))
	}
	return heads[0]
}

// current reports whether a retry record counts.
func (f *fixture) current(t testing.TB, h Head) bool {
	t.Helper()
	ok, _, err := f.Current(t.Context(), f.pool, h)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func (f *fixture) details(t testing.TB, id uuid.UUID) Details {
	t.Helper()
	d, err := f.Get(t.Context(), f.pool, id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// actions returns the names in an audit trail.
func (f *fixture) actions(t testing.TB, id uuid.UUID) (names []string) {
	t.Helper()
	all, err := f.Actions(t.Context(), f.pool, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		names = append(names, a.Action)
	}
	return names
}

// snapshot returns the content of all tables as text, to compare before and after.
func (f *fixture) snapshot(t testing.TB) (all string) {
	t.Helper()
	err := f.pool.QueryRow(t.Context(), `SELECT concat(
		(SELECT json_agg(d ORDER BY id) FROM dead_letters d), (SELECT json_agg(a ORDER BY id) FROM dead_letter_actions a),
		(SELECT json_agg(k ORDER BY topic, key) FROM parked_keys k), (SELECT json_agg(r ORDER BY position) FROM parked_records r),
		(SELECT json_agg(o ORDER BY seq) FROM outbox o))`).Scan(&all)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func wantKind(t testing.TB, err error, want errs.Kind) {
	t.Helper()
	if err == nil || errs.KindOf(err) != want {
		t.Errorf("error is %v of kind %v, want kind %v", err, errs.KindOf(err), want)
	}
}
