package projection_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/position"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/projection"
	"eventshop.example/pkg/retry"
)

// saving is rows whose writing is changed.
type saving struct {
	projection.Rows
	save func(ctx context.Context, tx pgx.Tx, rows projection.Rows) error
}

func (s saving) Save(ctx context.Context, tx pgx.Tx) error { return s.save(ctx, tx, s.Rows) }

// refusing makes version 2 write sets with a parcel to Atlantis by save.
func refusing(save func(ctx context.Context, tx pgx.Tx, rows projection.Rows) error) func(*projection.Config[fact]) {
	return func(c *projection.Config[fact]) {
		fold := c.Versions[1].Fold
		c.Versions[1].Fold = func(events []projection.Event[fact]) (projection.Rows, error) {
			rows, err := fold(events)
			for _, e := range events {
				if err == nil && e.Fact.city == "Atlantis" {
					return saving{rows, save}, nil
				}
			}
			return rows, err
		}
	}
}

func later(tx pgx.Tx) postgres.Querier {
	return postgres.Later(tx, func(err error) error { return err })
}

// follows runs the reader until stop is called, with version 2 behind the live version 1.
func (f *fixture) follows(change ...func(*projection.Config[fact])) (set *projection.Set[fact], stop func()) {
	f.t.Helper()
	set, model := f.set(change...)
	reading, filling := f.read(set, model), f.start(set.Run)
	f.becomes(set, 2, projection.Waiting)
	f.accept(5, "London")
	f.handled()
	f.rebuild(set)
	f.becomes(set, 2, projection.Following)
	return set, func() { reading(); filling() }
}

// lists waits until a version lists so many records.
func (f *fixture) lists(set *projection.Set[fact], number, records int) projection.Status {
	f.t.Helper()
	var got projection.Status
	kafkatest.Eventually(f.t, "the records that failed to be listed", func() bool {
		all, err := set.Status(f.t.Context(), "totals")
		if err != nil {
			f.t.Fatal(err)
		}
		got = all[number-1]
		return len(got.Listed) == records
	})
	return got
}

// place returns where a record is.
func (f *fixture) place(record *kgo.Record) retry.Place {
	f.t.Helper()
	for _, r := range kafkatest.ReadAll(f.t, f.brokers, record.Topic) {
		if bytes.Equal(r.Value, record.Value) {
			return retry.Place{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
		}
	}
	f.t.Fatal("the record is nowhere")
	return retry.Place{}
}

func (f *fixture) nothingFailed() {
	f.t.Helper()
	if n := f.number(`SELECT (SELECT count(*) FROM dead_letters) + (SELECT count(*) FROM parked_keys)`); n != 0 {
		f.t.Errorf("%d records failed for the reader", n)
	}
}

// TestAVersionThatIsNotLiveFailsAlone: of a set with a record that version 2 cannot write, the live version
// gets all records, version 2 all others, and the record is listed. The reader has no dead letter.
func TestAVersionThatIsNotLiveFailsAlone(t *testing.T) {
	for name, tt := range map[string]struct {
		amount int64
		change func(*projection.Config[fact])
		reason string
		// transactions that are repeated; a fold fails before anything is written
		repeated float64
	}{
		"a check constraint": {2_000_000, func(*projection.Config[fact]) {}, "violates check constraint", 1},
		"a panic in the fold": {5, func(c *projection.Config[fact]) {
			fold := c.Versions[1].Fold
			c.Versions[1].Fold = func(events []projection.Event[fact]) (projection.Rows, error) {
				for _, e := range events {
					if e.Fact.city == "Atlantis" {
						panic("no such city")
					}
				}
				return fold(events)
			}
		}, "panic: no such city", 0},
		"a panic in the selection": {5, func(c *projection.Config[fact]) {
			c.Versions[1].Takes = func(f fact) bool {
				if f.city == "Atlantis" {
					panic("no such city")
				}
				return true
			}
		}, "panic: no such city", 0},
		"a panic while it writes": {5, refusing(func(context.Context, pgx.Tx, projection.Rows) error { panic("no pen") }), "panic: no pen", 1},
		"a value that cannot be encoded": {5, refusing(func(ctx context.Context, tx pgx.Tx, _ projection.Rows) error {
			_, err := later(tx).Exec(ctx, totals1, []string{"GBP"}, []string{"no number"}, []int64{1})
			return err
		}), "no number", 1},
		"a value without its column's form": {5, refusing(func(ctx context.Context, tx pgx.Tx, _ projection.Rows) error {
			_, err := later(tx).Exec(ctx, `INSERT INTO totals VALUES ($1, 'Rome', ($2::text)::bigint, 1)`, "GBP", "many")
			return err
		}), "invalid input syntax", 1},
		"a query that fails": {5, refusing(func(ctx context.Context, tx pgx.Tx, _ projection.Rows) error {
			return tx.QueryRow(ctx, `SELECT 1 / $1::int`, 0).Scan(new(int))
		}), "division by zero", 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			metrics := prometheus.NewRegistry()
			set, stop := f.follows(tt.change, func(c *projection.Config[fact]) { c.Registerer = metrics })
			var records []*kgo.Record
			for range 20 {
				records = append(records, f.parcel("London", 5))
			}
			records[7] = f.parcel("Atlantis", tt.amount)
			f.produce(records...)
			f.handled()
			s := f.lists(set, 2, 1)
			if !s.Attached || s.State != projection.Following || !strings.Contains(s.Listed[0].Reason, tt.reason) {
				t.Errorf("%+v", s)
			}
			if want := f.place(records[7]); s.Listed[0].Place != want {
				t.Errorf("%s is listed, want %s", s.Listed[0].Place, want)
			}
			if one, two := f.count("public"), f.count("totals_v2"); one != 25 || two != 24 {
				t.Errorf("%d and %d parcels, want 25 and 24", one, two)
			}
			f.nothingFailed()
			if n := refusals(t, metrics); n != tt.repeated {
				t.Errorf("%v transactions were repeated, want %v", n, tt.repeated)
			}
			if _, err := set.Switch(t.Context(), "totals", 2, true); errs.KindOf(err) != errs.Conflict {
				t.Errorf("switch: %v", err)
			}

			// Another process, whose program takes the record.
			stop()
			if _, err := f.pool.Exec(t.Context(), `ALTER TABLE totals_v2.totals DROP CONSTRAINT totals_amount_check`); err != nil {
				t.Fatal(err)
			}
			repaired, model := f.set()
			f.read(repaired, model)
			f.start(repaired.Run)
			f.accept(5, "Paris")
			f.handled()
			f.lists(repaired, 2, 0)
			if s, err := repaired.Switch(t.Context(), "totals", 2, false); err != nil || f.count("totals_v2") != 30 {
				t.Errorf("switch: %+v, %v with %d parcels", s, err, f.count("totals_v2"))
			}
		})
	}
}

// refusals returns how many transactions were repeated without version 2.
func refusals(t *testing.T, metrics prometheus.Gatherer) (n float64) {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "projection_refusals_total" && m.GetLabel()[1].GetValue() == "2" {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// TestTheReaderStopsWithinARefusal: the transaction that leaves the record out of version 2 is rolled back,
// and the process ends. Nothing of it stays, and the next process finds the record as well.
func TestTheReaderStopsWithinARefusal(t *testing.T) {
	f := newFixture(t)
	_, stop := f.follows()
	stop()
	set, model := f.set()
	cfg := f.reader(set, model)
	refused, failed := make(chan struct{}, 1000), make(chan struct{}, 1000)
	cfg.Without = func(err error) bool {
		refused <- struct{}{}
		return set.Without(err)
	}
	cfg.Advanced = func(ctx context.Context, tx pgx.Tx, moves []position.Move) error {
		select {
		case <-refused: // the transaction after a refusal
			failed <- struct{}{}
			return errs.New(errs.Transient, "the process is about to end")
		default:
			return set.Advanced(ctx, tx, moves)
		}
	}
	f.produce(f.parcel("Rome", 2_000_000))
	stop = f.run(cfg)
	<-failed
	stop()
	again, model := f.set()
	all, err := again.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s := all[1]; s.Failures != 0 || !s.Attached || f.count("totals_v2") != 5 || f.count("public") != 5 {
		t.Errorf("a transaction that was rolled back left %+v", s)
	}
	f.read(again, model)
	f.handled()
	if s := f.lists(again, 2, 1); f.count("public") != 6 || f.count("totals_v2") != 5 {
		t.Errorf("%+v with %d and %d parcels, want 6 and 5", s, f.count("public"), f.count("totals_v2"))
	}
	f.nothingFailed()
}

// TestTablesThatAreMissing: version 2 has no tables for a while. The reader goes on, and when they are there
// again, version 2 gets what it missed.
func TestTablesThatAreMissing(t *testing.T) {
	f := newFixture(t)
	set, _ := f.follows()
	if _, err := f.pool.Exec(t.Context(), `ALTER TABLE totals_v2.totals RENAME TO gone; ALTER TABLE public.totals ADD COLUMN city text`); err != nil {
		t.Fatal(err)
	}
	f.accept(10, "Rome")
	f.handled()
	if s := f.lists(set, 2, 10); !s.Attached || !strings.Contains(s.Listed[0].Reason, "SQLSTATE 42") {
		t.Errorf("%+v", s)
	}
	f.nothingFailed()
	if _, err := f.pool.Exec(t.Context(), `ALTER TABLE totals_v2.gone RENAME TO totals`); err != nil {
		t.Fatal(err)
	}
	f.lists(set, 2, 0)
	if one, two := f.count("public"), f.count("totals_v2"); one != 15 || two != 15 {
		t.Errorf("%d and %d parcels, want 15", one, two)
	}
}

// TestABaseVersionThatIsNotLive fails alone as well, and takes what it missed when it can.
func TestABaseVersionThatIsNotLive(t *testing.T) {
	f := newFixture(t)
	set, _ := f.follows()
	if _, err := set.Switch(t.Context(), "totals", 2, false); err != nil {
		t.Fatal(err)
	}
	if _, err := f.pool.Exec(t.Context(), `ALTER TABLE public.totals ADD CONSTRAINT cheap CHECK (amount < 100000)`); err != nil {
		t.Fatal(err)
	}
	f.produce(f.parcel("Paris", 5), f.parcel("Rome", 200_000), f.parcel("Paris", 5))
	f.handled()
	s := f.lists(set, 1, 1)
	if s.State != projection.Following || !strings.Contains(s.Listed[0].Reason, "cheap") {
		t.Errorf("%+v", s)
	}
	if one, two := f.count("public"), f.count("totals_v2"); one != 7 || two != 8 {
		t.Errorf("%d and %d parcels, want 7 and 8", one, two)
	}
	f.nothingFailed()
	if _, err := set.Switch(t.Context(), "totals", 1, true); errs.KindOf(err) != errs.Conflict {
		t.Errorf("switch back: %v", err)
	}
	if _, err := f.pool.Exec(t.Context(), `ALTER TABLE public.totals DROP CONSTRAINT cheap`); err != nil {
		t.Fatal(err)
	}
	f.lists(set, 1, 0)
	if _, err := set.Switch(t.Context(), "totals", 1, false); err != nil || f.count("public") != 8 {
		t.Errorf("switch back: %v with %d parcels", err, f.count("public"))
	}
}

// TestALiveVersionThatRefuses: it is the record's failure, as that of any write.
func TestALiveVersionThatRefuses(t *testing.T) {
	f := newFixture(t)
	set, _ := f.follows()
	if _, err := set.Switch(t.Context(), "totals", 2, false); err != nil {
		t.Fatal(err)
	}
	f.produce(f.parcel("Paris", 5), f.parcel("Rome", 2_000_000), f.parcel("Paris", 5))
	f.handled()
	if n := f.number(`SELECT count(*) FROM parked_keys`); n != 1 {
		t.Errorf("%d keys are parked, want 1", n)
	}
	f.lists(set, 2, 0)
	if one, two := f.count("public"), f.count("totals_v2"); one != 7 || two != 7 {
		t.Errorf("%d and %d parcels, want 7", one, two)
	}
}

// TestAVersionThatRefusesTooMuch is no longer fed. A rebuild begins again.
func TestAVersionThatRefusesTooMuch(t *testing.T) {
	f := newFixture(t)
	set, _ := f.follows()
	records := make([]*kgo.Record, 1001)
	for i := range records {
		records[i] = f.parcel("Rome", 2_000_000)
	}
	f.produce(records...)
	f.handled()
	s := f.becomes(set, 2, projection.Failed)
	if s.Attached || s.Failures < 1001 || !strings.Contains(s.Reason, "more than 1000 records failed, lately because: ") {
		t.Errorf("%+v", s)
	}
	f.accept(5, "Paris")
	f.handled()
	f.nothingFailed()
	if one, two := f.count("public"), f.count("totals_v2"); one != 1011 || two != 5 {
		t.Errorf("%d and %d parcels, want 1011 and 5", one, two)
	}
	if _, err := f.pool.Exec(t.Context(), `ALTER TABLE totals_v2.totals DROP CONSTRAINT totals_amount_check`); err != nil {
		t.Fatal(err)
	}
	f.rebuild(set)
	f.becomes(set, 2, projection.Following)
	if n := f.count("totals_v2"); n != 1011 {
		t.Errorf("version 2 contains %d parcels, want 1011", n)
	}
}
