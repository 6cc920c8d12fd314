package consumer_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event/sample"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
)

// effects is a set of a model. A key's state is the effects written for it.
type effects struct {
	written map[string]string
	news    []string // key and effect in turn
}

func (e *effects) Get(key string) string { return e.written[key] }

func (e *effects) Put(key, state string) {
	e.news = append(e.news, key, state[len(e.written[key]):])
	e.written[key] = state
}

func (e *effects) Save(ctx context.Context, tx pgx.Tx) error {
	for pair := range slices.Chunk(e.news, 2) {
		if err := effect(ctx, tx, pair[0], pair[1]); err != nil {
			return err
		}
	}
	return nil
}

// written returns the model. The state of a key is its effects, concatenated.
func written(out *outbox.Outbox, committed func(string)) *reaction.Model[string, string] {
	look := func(ctx context.Context, q postgres.Querier, keys []string) (map[string]string, error) {
		rows, err := q.Query(ctx, `SELECT parcel_id, string_agg(what, '' ORDER BY n) FROM effects WHERE parcel_id = ANY ($1) GROUP BY 1`, keys)
		if err != nil {
			return nil, err
		}
		states := map[string]string{}
		var key, state string
		_, err = pgx.ForEachRow(rows, []any{&key, &state}, func() error { states[key] = state; return nil })
		return states, err
	}
	return &reaction.Model[string, string]{
		Outbox: out, Look: look,
		Load: func(ctx context.Context, tx pgx.Tx, steps []reaction.Step[string]) (reaction.Set[string], error) {
			states, err := look(ctx, tx, reaction.Keys(steps))
			return &effects{written: states}, err
		},
		Decide: func(state string, s reaction.Step[string]) (reaction.Decision[string], error) {
			switch s.Input {
			case "refuse":
				return reaction.Decision[string]{}, errs.New(errs.Hopeless, "refused")
			case "panic":
				panic("a bug")
			}
			return reaction.Decision[string]{State: state + s.Input, Changed: true,
				Events:    []outbox.Entry{{Event: sample.ParcelCollected{ParcelID: s.Key}, Version: 1, Cause: s.Cause}},
				Committed: func(context.Context) { committed(s.Key + s.Input) },
			}, nil
		},
	}
}

// TestReactions: decisions are saved and published, and only what was committed is reported. A
// decision that fails is its record's failure.
func TestReactions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var mu sync.Mutex
	var reported []string
	m := written(f.outbox, func(what string) {
		mu.Lock()
		defer mu.Unlock()
		reported = append(reported, what)
	})
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{
		consumer.On(m, func(e consumer.Event[sample.ParcelMoved]) string { return e.Data.LabelID }),
	}})
	f.together(
		f.record(sample.ParcelMoved{ParcelID: "a", LabelID: "1"}, 1), f.record(sample.ParcelMoved{ParcelID: "b", LabelID: "refuse"}, 1),
		f.record(sample.ParcelMoved{ParcelID: "a", LabelID: "2"}, 2), f.record(sample.ParcelMoved{ParcelID: "c", LabelID: "panic"}, 1),
	)
	got := f.awaitEffects(2)
	if diff := cmp.Diff([]string{"a 1", "a 2"}, got); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
	kafkatest.Eventually(t, "the reports", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Equal(reported, []string{"a1", "a2"})
	})
	caused := f.rows(`SELECT convert_from(key, 'UTF8') FROM outbox WHERE event_type = 'ParcelCollected' AND ce_causationid <> id::text`)
	if diff := cmp.Diff([]string{"a", "a"}, caused); diff != "" {
		t.Errorf("events that name their cause (-want +got):\n%s", diff)
	}
}

// TestACallSeesTheState: the call receives the key's state as of before the transaction, and its
// answer is the decision's input.
func TestACallSeesTheState(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	m := written(f.outbox, func(string) {})
	call := func(state string, e consumer.Event[sample.ParcelMoved]) consumer.Call[string] {
		return func(context.Context) (string, error) { return fmt.Sprintf("(%s)", state), nil }
	}
	f.run(consumer.Config{Subscriptions: []consumer.Subscription{
		consumer.OnCall(m, call, func(e consumer.Event[sample.ParcelMoved], answer string) string { return answer }),
	}})
	f.together(f.record(sample.ParcelMoved{ParcelID: "a"}, 1), f.record(sample.ParcelMoved{ParcelID: "a"}, 2))
	if diff := cmp.Diff([]string{"a ()", "a (())"}, f.awaitEffects(2)); diff != "" {
		t.Errorf("effects (-want +got):\n%s", diff)
	}
}
