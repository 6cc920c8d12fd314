package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/reaction"
)

// moves is a model whose states are written by one statement, and a diary of its transactions.
type moves struct {
	mu     sync.Mutex
	loaded []int   // steps of each Load, in order
	saved  []error // what each Save returned, in order
	lock   func(ctx context.Context, tx pgx.Tx, keys []string) error
	write  error // of the next Save
}

func (m *moves) diary() (loaded []int, saved []error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.loaded), slices.Clone(m.saved)
}

// moved is a set of [moves].
type moved struct {
	*moves
	keys, whats []string
}

func (s *moved) Get(string) string { return "" }

func (s *moved) Put(key, what string) { s.keys, s.whats = append(s.keys, key), append(s.whats, what) }

func (s *moved) Save(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `INSERT INTO effects (parcel_id, what) SELECT * FROM unnest($1::text[], $2::text[])`, s.keys, s.whats)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		err, s.write = s.write, nil
	}
	s.saved = append(s.saved, err)
	return err
}

func (m *moves) model() *reaction.Model[string, string] {
	return &reaction.Model[string, string]{
		Load: func(ctx context.Context, tx pgx.Tx, steps []reaction.Step[string]) (reaction.Set[string], error) {
			m.mu.Lock()
			m.loaded = append(m.loaded, len(steps))
			m.mu.Unlock()
			if m.lock != nil {
				if err := m.lock(ctx, tx, reaction.Keys(steps)); err != nil {
					return nil, err
				}
			}
			return &moved{moves: m}, nil
		},
		Decide: func(_ string, s reaction.Step[string]) (reaction.Decision[string], error) {
			switch s.Input {
			case "panic":
				panic("a bug")
			case "refuse":
				return reaction.Decision[string]{}, errs.New(errs.Hopeless, "refused")
			}
			return reaction.Decision[string]{State: s.Input, Changed: true}, nil
		},
	}
}

func (m *moves) subscription() consumer.Subscription {
	return consumer.On(m.model(), func(e consumer.Event[sample.ParcelMoved]) string { return e.Data.LabelID })
}

// moving returns records of n keys, the label of each being what its key's step writes.
func (f *fixture) moving(n int, label func(i int) string) []*kgo.Record {
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = f.record(sample.ParcelMoved{ParcelID: fmt.Sprintf("p%03d", i), LabelID: label(i)}, 1)
	}
	return records
}

// TestABadRecordAmongFiveHundred: a write of the whole set fails because of one record. Halving finds
// it, all others commit, and the bad one leaves its inbox row, its retry records and its dead letter.
func TestABadRecordAmongFiveHundred(t *testing.T) {
	t.Parallel()
	const n = 500
	for _, bad := range [][]int{{0}, {n / 3}, {n - 1}, {17, 18, 444}} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.exec(`ALTER TABLE effects ADD CHECK (what <> 'bad')`)
			var m moves
			f.together(f.moving(n, func(i int) string {
				if slices.Contains(bad, i) {
					return "bad"
				}
				return "good"
			})...)
			f.run(consumer.Config{Subscriptions: []consumer.Subscription{m.subscription()}, Retry: quickly(1), MaxBatch: n})
			kafkatest.Eventually(t, "the dead letters", func() bool { return f.deadLetters() == len(bad) })
			kafkatest.Eventually(t, "the effects", func() bool { return len(f.effects()) == n-len(bad) })
			loaded, saved := m.diary()
			failed := 0
			for _, err := range saved {
				if err != nil {
					failed++
				}
			}
			t.Logf("steps of the transactions: %v, %d failed", loaded, failed)
			if limit := len(bad) * (2*bits.Len(n) + 1); len(loaded) > limit {
				t.Errorf("%d transactions, want at most %d", len(loaded), limit)
			}
			if got := f.rows(`SELECT count(*)::text FROM inbox`); !slices.Equal(got, []string{fmt.Sprint(n)}) {
				t.Errorf("%v inbox rows, want %d", got, n)
			}
		})
	}
}

// TestADecisionThatFailsCostsNothing: neither a refusal nor a panic repeats the transaction or undoes
// another record's effect, and records behind it in its key wait.
func TestADecisionThatFailsCostsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var m moves
	records := f.moving(40, func(i int) string { return []string{"good", "panic", "good", "refuse"}[i%4] })
	for i := range 40 {
		records = append(records, f.record(sample.ParcelMoved{ParcelID: fmt.Sprintf("p%03d", i), LabelID: "second"}, 2))
	}
	f.together(records...)
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{m.subscription()}, Retry: quickly(1)})
	kafkatest.Eventually(t, "the dead letters", func() bool { return f.deadLetters() == 20 })
	want := map[string]int{"good": 20, "second": 20}
	kafkatest.Eventually(t, "the effects", func() bool {
		got := map[string]int{}
		for _, e := range f.effects() {
			got[strings.Fields(e)[1]]++
		}
		return cmp.Equal(want, got)
	})
	_, saved := m.diary()
	if err := errors.Join(saved...); err != nil {
		t.Errorf("a transaction was repeated: %v", err)
	}
	if waiting := f.rows(`SELECT topic FROM parked_records`); len(waiting) != 20 {
		t.Errorf("%d records wait behind a dead letter, want 20", len(waiting))
	}
	stacks := f.rows(`SELECT DISTINCT (error_stack LIKE '%moves%')::text FROM dead_letters WHERE error_message LIKE '%a bug%'`)
	if !slices.Equal(stacks, []string{"true"}) {
		t.Errorf("dead letters of panics name their code: %v", stacks)
	}
}

// TestAnotherWriterWasFaster: the same records are tried again at once, and none of them fails.
func TestAnotherWriterWasFaster(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := moves{write: errs.Wrap(errs.Transient, reaction.ErrOvertaken, "append")}
	f.together(f.moving(3, func(int) string { return "good" })...)
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{m.subscription()}, Backoff: consumer.Backoff{Base: time.Hour, Max: time.Hour}, Retry: quickly(1)})
	f.awaitEffects(3)
	_, saved := m.diary()
	if len(saved) < 2 || !errors.Is(saved[0], reaction.ErrOvertaken) || errors.Join(saved[1:]...) != nil {
		t.Errorf("saved %v, want one failure and then none", saved)
	}
	if n := f.deadLetters(); n != 0 {
		t.Errorf("%d dead letters, want none", n)
	}
}

// TestATransactionIsRepeatedWithoutWhatFailed: Config.Without has removed the cause, so the whole set is tried
// again at once, whatever the kind of the error. Where it has not, the record fails as ever.
func TestATransactionIsRepeatedWithoutWhatFailed(t *testing.T) {
	t.Parallel()
	aside := errs.New(errs.Invalid, "a reader that nothing needs")
	for name, removable := range map[string]bool{"removed": true, "not removed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			m := moves{write: aside}
			f.together(f.moving(40, func(int) string { return "good" })...)
			var asked atomic.Int64
			f.run(consumer.Config{
				Subscriptions: []consumer.Subscription{m.subscription()}, Retry: quickly(1), MaxBatch: 40,
				Without: func(err error) bool {
					asked.Add(1)
					return removable && errors.Is(err, aside)
				},
			})
			f.awaitEffects(40)
			loaded, saved := m.diary()
			if asked.Load() != 1 || !errors.Is(saved[0], aside) || errors.Join(saved[1:]...) != nil {
				t.Errorf("asked %d times, saved %v", asked.Load(), saved)
			}
			if again := loaded[1] == loaded[0]; again != removable {
				t.Errorf("transactions of %v records", loaded)
			}
			if n := f.deadLetters(); n != 0 {
				t.Errorf("%d dead letters, want none", n)
			}
		})
	}
}
