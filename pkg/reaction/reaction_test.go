package reaction_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
)

// Deposited is the event of these tests: an amount was added to an account.
type Deposited struct {
	Account string
	Amount  int64
}

func (Deposited) EventType() string      { return "Deposited" }
func (Deposited) AvroSchema() string     { return `{"type":"record","name":"test.Deposited"}` }
func (d Deposited) AggregateKey() string { return d.Account }

// account is the state of one key.
type account struct {
	Owner            string
	Balance, Version int64
}

// accounts is a set of accounts. It records its calls, for the tests.
type accounts struct {
	rows    map[string]account
	changed map[string]bool
	log     *[]string
}

func (a *accounts) Get(key string) account { return a.rows[key] }

func (a *accounts) Put(key string, row account) { a.rows[key], a.changed[key] = row, true }

func (a *accounts) Save(ctx context.Context, tx pgx.Tx) error {
	keys := slices.Sorted(maps.Keys(a.changed))
	*a.log = append(*a.log, "save "+strings.Join(keys, " "))
	balances, versions := make([]int64, len(keys)), make([]int64, len(keys))
	for i, key := range keys {
		balances[i], versions[i] = a.rows[key].Balance, a.rows[key].Version
	}
	_, err := tx.Exec(ctx, `UPDATE accounts SET balance = n.balance, version = n.version
		FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS n (owner, balance, version) WHERE accounts.owner = n.owner`, keys, balances, versions)
	return err
}

// fixture is a model over a real database, and what it has done.
type fixture struct {
	model *reaction.Model[account, int64]
	pool  *pgxpool.Pool
	log   []string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{pool: pgtest.NewDB(t, outbox.Component())}
	if _, err := f.pool.Exec(t.Context(), `CREATE TABLE accounts (owner text PRIMARY KEY, balance bigint NOT NULL DEFAULT 0 CHECK (balance < 1000), version bigint NOT NULL DEFAULT 0)`); err != nil {
		t.Fatal(err)
	}
	types := event.NewCatalogue(event.Describe[Deposited](event.Family{Topic: "accounts", AggregateType: "Account", Namespace: "test"}))
	out := outbox.New(outbox.Config{Source: "/test", Types: types, Encode: func(_ context.Context, e event.Event) ([]byte, error) {
		if e.(Deposited).Amount == 13 {
			return nil, errs.New(errs.Invalid, "13 cannot be encoded")
		}
		return json.Marshal(e)
	}})
	f.model = &reaction.Model[account, int64]{Load: f.load, Decide: decide, Outbox: out}
	return f
}

func (f *fixture) load(ctx context.Context, tx pgx.Tx, steps []reaction.Step[int64]) (reaction.Set[account], error) {
	keys := reaction.Keys(steps)
	f.log = append(f.log, "load "+strings.Join(keys, " "))
	if _, err := tx.Exec(ctx, `INSERT INTO accounts (owner) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING`, keys); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT owner, balance, version FROM accounts WHERE owner = ANY ($1) ORDER BY owner FOR UPDATE`, keys)
	if err != nil {
		return nil, err
	}
	set := &accounts{rows: map[string]account{}, changed: map[string]bool{}, log: &f.log}
	loaded, err := pgx.CollectRows(rows, pgx.RowToStructByPos[account])
	for _, row := range loaded {
		set.rows[row.Owner] = row
	}
	return set, err
}

// decide adds an amount. It does nothing for 0, refuses an overdraft, and panics for 666.
func decide(a account, s reaction.Step[int64]) (reaction.Decision[account], error) {
	switch {
	case s.Input == 666:
		panic("a bug")
	case s.Input == 0:
		return reaction.Decision[account]{State: a}, nil
	case a.Balance+s.Input < 0:
		return reaction.Decision[account]{}, errs.New(errs.Conflict, "%s has only %d", a.Owner, a.Balance)
	}
	a.Balance += s.Input
	a.Version++
	return reaction.Decision[account]{State: a, Changed: true, Events: []outbox.Entry{
		{Event: Deposited{a.Owner, s.Input}, Version: a.Version, Cause: s.Cause},
	}}, nil
}

func (f *fixture) balances(t *testing.T) map[string]int64 {
	t.Helper()
	rows, err := f.pool.Query(t.Context(), `SELECT owner, balance FROM accounts`)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	var owner string
	var balance int64
	if _, err := pgx.ForEachRow(rows, []any{&owner, &balance}, func() error { out[owner] = balance; return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// published returns the outbox in its order, as "key version amount".
func (f *fixture) published(t *testing.T) []string {
	t.Helper()
	rows, err := f.pool.Query(t.Context(), `SELECT convert_from(key, 'UTF8') || ' ' || ce_aggregateversion || ' ' || (convert_from(payload, 'UTF8')::jsonb->>'Amount') FROM outbox ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (f *fixture) step(key string, amount int64) reaction.Step[int64] {
	return f.model.Step(key, amount, outbox.Cause{CorrelationID: "c"})
}

// TestASetIsLoadedOnceAndSavedOnce: keys are loaded in their order, later steps see earlier ones,
// and the events of a key are in the order of their versions.
func TestASetIsLoadedOnceAndSavedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		_, err := f.model.Run(t.Context(), tx, f.step("b", 5), f.step("a", 1), f.step("b", -2), f.step("c", 0))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"load a b c", "save a b"}, f.log); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int64{"a": 1, "b": 3, "c": 0}, f.balances(t)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"b 1 5", "a 1 1", "b 2 -2"}, f.published(t)); diff != "" {
		t.Error(diff)
	}
}

// TestADecisionThatFailsDiscardsNothingElse: a decision that is refused, not encodable or a bug
// leaves the set and the events unchanged.
func TestADecisionThatFailsDiscardsNothingElse(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]int64{"refused": -100, "not encodable": 13, "a bug": 666} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			steps := []reaction.Step[int64]{f.step("a", 5), f.step("a", bad), f.step("a", 2), f.step("b", 1)}
			var failed []int
			err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
				w, err := f.model.Begin(t.Context(), tx, steps)
				if err != nil {
					return err
				}
				for i := range steps {
					if err := guarded(func() error { _, err := w.Decide(t.Context(), i); return err }); err != nil {
						failed = append(failed, i)
					}
				}
				return w.Save(t.Context(), tx)
			})
			if err != nil || !slices.Equal(failed, []int{1}) {
				t.Fatalf("failed %v, %v", failed, err)
			}
			if diff := cmp.Diff(map[string]int64{"a": 7, "b": 1}, f.balances(t)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"a 1 5", "a 2 2", "b 1 1"}, f.published(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// TestAWriteThatFailsSpoilsTheSet: nothing of the set takes effect, and the kind is the database's.
func TestAWriteThatFailsSpoilsTheSet(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		_, err := f.model.Run(t.Context(), tx, f.step("a", 5), f.step("b", 5000))
		return err
	})
	if postgres.State(err) != "23514" {
		t.Errorf("error %v, want a check violation", err)
	}
	if got := f.balances(t); len(got) > 0 || len(f.published(t)) > 0 {
		t.Errorf("%v is there", got)
	}
}

// TestRunStopsAtTheFirstError: later steps are not decided, and nothing is saved.
func TestRunStopsAtTheFirstError(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
		_, err := f.model.Run(t.Context(), tx, f.step("a", 5), f.step("a", -6), f.step("a", 666))
		return err
	})
	if errs.KindOf(err) != errs.Conflict {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff([]string{"load a"}, f.log); diff != "" {
		t.Error(diff)
	}
}

// TestTwoSetsDoNotDeadlock: keys are locked in one order, whatever the order of the steps.
func TestTwoSetsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const rounds = 40
	done := make(chan error)
	for _, keys := range [][]string{{"a", "b", "c"}, {"c", "b", "a"}} {
		g := &fixture{pool: f.pool}
		model := *f.model
		model.Load = g.load
		go func() {
			for range rounds {
				err := postgres.InTx(t.Context(), f.pool, func(tx pgx.Tx) error {
					steps := make([]reaction.Step[int64], len(keys))
					for i, key := range keys {
						steps[i] = f.step(key, 1)
					}
					_, err := model.Run(t.Context(), tx, steps...)
					return err
				})
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(map[string]int64{"a": 2 * rounds, "b": 2 * rounds, "c": 2 * rounds}, f.balances(t)); diff != "" {
		t.Error(diff)
	}
}

// TestStepsHaveTheTimeOfTheModel: UTC, in the precision of the database.
func TestStepsHaveTheTimeOfTheModel(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("", 3600))
	m := reaction.Model[account, int64]{Now: func() time.Time { return at }}
	if got, want := m.Step("a", 1, outbox.Cause{}).At, time.Date(2026, 1, 2, 2, 4, 5, 678_901_000, time.UTC); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}
