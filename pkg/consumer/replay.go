package consumer

import (
	"context"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/reaction"
)

// Replay turns records into the inputs of a model's reactions, outside any consumer group. A rebuild
// of a read model reads topics with it from their beginning. It accepts and refuses the same records
// as a [Consumer] with the same subscriptions. It is safe for concurrent use.
type Replay[S, I any] struct {
	c     *Consumer
	model *reaction.Model[S, I]
}

// NewReplay returns a Replay of subscriptions without calls, all of them to the same model. It does
// not connect. Of cfg it uses Types, Decode and Subscriptions.
func NewReplay[S, I any](cfg Config, model *reaction.Model[S, I]) (*Replay[S, I], error) {
	c := &Consumer{cfg: cfg, subscriptions: map[string]Subscription{}}
	c.cfg.Encodable = func(...event.Type) error { return nil } // nothing is published
	for _, s := range cfg.Subscriptions {
		s.Type = s.typeIn(cfg.Types)
		if s.model != any(model) || s.call != nil {
			return nil, errs.New(errs.Invalid, "consumer: the subscription to %s is of another model or has a call", s.Type.Name)
		}
		c.subscriptions[s.Type.Name] = s
	}
	return &Replay[S, I]{c: c, model: model}, nil
}

// Replayed is a record as its reaction sees it.
type Replayed[I any] struct {
	ID    uuid.UUID // the event's
	Key   string    // of the aggregate
	Input I
}

// Read returns the input of a record's reaction. ok is false for a record that is ignored, because no
// subscription is to its type. An error of kind errs.Transient means that the record cannot be read
// now. Any other error is the record's own: the consumer makes a dead letter of it.
func (r *Replay[S, I]) Read(ctx context.Context, record *kgo.Record) (read Replayed[I], ok bool, err error) {
	it := &item{record: record}
	if err := r.c.decode(ctx, it); err != nil {
		return read, false, errs.New(errs.Transient, "%w", err)
	}
	switch it.kind {
	case foreign:
		return read, false, nil
	case poison:
		return read, false, it.cause
	}
	set := &stepsOf[S, I]{model: r.model}
	err = guard(func() error {
		_, err := it.sub.step(set, it)
		return err
	})
	if err != nil {
		return read, false, err
	}
	step := set.steps[0]
	return Replayed[I]{ID: it.id, Key: step.Key, Input: step.Input}, true, nil
}
