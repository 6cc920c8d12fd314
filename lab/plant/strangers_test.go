package plant_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/lab/plant"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
)

// plainly is an encoder and decoder: five bytes instead of a schema id, and the order id.
type plainly struct{}

func (plainly) Types() event.Catalogue { return events.Catalogue() }

func (plainly) Encode(_ context.Context, e event.Event) ([]byte, error) {
	return append([]byte{0, 0, 0, 0, 1}, e.EventType()+" "+e.AggregateKey()...), nil
}

func (plainly) decode(_ context.Context, t event.Type, value []byte) (event.Event, error) {
	begin := append([]byte{0, 0, 0, 0, 1}, t.Name+" "...)
	id, ok := bytes.CutPrefix(value, begin)
	if !ok {
		return nil, errs.New(errs.Hopeless, "no %s", t.Name)
	}
	return events.OrderDelivered{OrderID: string(id)}, nil
}

const elsewhere = "order.events.payment.dlq"

// strangers returns a generator from two orders' events, and from one event that no order had.
func strangers(t *testing.T, seed uint64) (s *plant.Strangers, published map[uuid.UUID]*kgo.Record) {
	published = map[uuid.UUID]*kgo.Record{}
	var of []*kgo.Record
	for i, e := range []event.Event{
		events.OrderConfirmed{OrderID: "a"}, events.OrderDelivered{OrderID: "a"}, events.PaymentFailed{OrderID: "b"}, events.OrderSnapshot{OrderID: "b"},
	} {
		r := kafkatest.Record(t, plainly{}, e, func(env *event.Envelope) {
			env.ID = uuid.UUID{0, 0, 0, 0, 0, 1, 0x70, byte(i), 0x80}
			env.AggregateVersion, env.Time = int64(i+3), time.Unix(1, 0).UTC()
		})
		of = append(of, r)
		published[kafkatest.Envelope(t, r).ID] = r
	}
	invented := kafkatest.Record(t, plainly{}, events.ShipmentFailed{OrderID: "c"}, func(env *event.Envelope) {
		env.ID, env.Time = uuid.UUID{0, 0, 0, 0, 0, 1, 0x70, 9, 0x80}, time.Unix(1, 0).UTC()
	})
	return plant.NewStrangers(seed, plainly{}.decode, of, []*kgo.Record{invented}, elsewhere), published
}

// TestStrangersHarmNobodyOrLie classifies each record independently, as consumers read it.
func TestStrangersHarmNobodyOrLie(t *testing.T) {
	t.Parallel()
	s, published := strangers(t, 1)
	// believed returns the event that a consumer reads from a record.
	believed := func(r *kgo.Record) (env event.Envelope, ok bool) {
		env, _, err := event.ReadEnvelope(kafkatest.Headers(r), r.Timestamp)
		typ, known := events.Catalogue().Lookup(env.Type)
		if err != nil || !known || typ.Topic != r.Topic {
			return env, false
		}
		e, err := plainly{}.decode(t.Context(), typ, r.Value)
		return env, err == nil && e.AggregateKey() == string(r.Key) && len(r.Key) > 0
	}
	kinds := map[string]int{}
	for range 3000 {
		r, err := s.Harmless(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		env, ok := believed(r)
		o := published[env.ID]
		switch {
		case r.Topic == elsewhere:
			kinds["elsewhere"]++
		case !ok && r.Topic == events.TopicOrderSnapshots && (string(r.Key) == "a" || string(r.Key) == "b"):
			t.Fatalf("a record takes the place of a snapshot: %+v", r)
		case !ok && env.ID != uuid.Nil:
			kinds["of an id, and no event"]++
		case !ok:
			kinds["rubbish"]++
		case o == nil || o.Topic != r.Topic || !bytes.Equal(o.Value, r.Value) || env.AggregateVersion != kafkatest.Envelope(t, o).AggregateVersion:
			t.Fatalf("a harmless record is believed, and is no copy: %+v", r)
		case !cmp.Equal(kafkatest.Headers(o), kafkatest.Headers(r)):
			kinds["copy with other advice"]++
		default:
			kinds["copy"]++
		}
		switch {
		case r.Value == nil:
			kinds["tombstone"]++
		case len(r.Key) == 3000:
			kinds["long key"]++
		}
	}
	want := []string{"copy", "copy with other advice", "elsewhere", "long key", "of an id, and no event", "rubbish", "tombstone"}
	if got := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}

	kinds = map[string]int{}
	for range 1000 {
		r, err := s.Lie(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		env, ok := believed(r)
		o := published[env.ID]
		switch {
		case r.Topic == elsewhere:
			t.Fatalf("nothing on %s is a lie", elsewhere)
		case r.Topic == events.TopicOrderSnapshots:
			kinds["over a snapshot"]++
		case o != nil && o.Topic != r.Topic:
			kinds["on another topic"]++
		case !ok:
			t.Fatalf("a lie that nobody believes: %+v", r)
		case o == nil:
			kinds["never happened"]++
		default:
			kinds["another story under an id"]++
		}
	}
	want = []string{"another story under an id", "never happened", "on another topic", "over a snapshot"}
	if got := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, want) {
		t.Errorf("lies %v, want %v", kinds, want)
	}
}

// TestASeedMakesTheSameRecords, except for the time in their ids.
func TestASeedMakesTheSameRecords(t *testing.T) {
	t.Parallel()
	some := func(seed uint64) (all []*kgo.Record) {
		s, _ := strangers(t, seed)
		for range 50 {
			r, err := s.Harmless(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for i, h := range r.Headers {
				if _, err := uuid.ParseBytes(h.Value); err == nil {
					r.Headers[i].Value = h.Value[13:]
				}
			}
			all = append(all, r)
		}
		return all
	}
	if !reflect.DeepEqual(some(7), some(7)) {
		t.Error("the same seed makes other records")
	}
	if reflect.DeepEqual(some(7), some(8)) {
		t.Error("two seeds make the same records")
	}
}

// TestStrangersNeedADecoderThatAnswers: without a decoder a forged record cannot be recognised.
func TestStrangersNeedADecoderThatAnswers(t *testing.T) {
	t.Parallel()
	away := errs.New(errs.Transient, "registry: no answer")
	r := kafkatest.Record(t, plainly{}, events.OrderDelivered{OrderID: "a"})
	s := plant.NewStrangers(1, func(context.Context, event.Type, []byte) (event.Event, error) { return nil, away }, nil, []*kgo.Record{r})
	if _, err := s.Lie(t.Context()); !errors.Is(err, away) {
		t.Errorf("got %v, want %v", err, away)
	}
}
