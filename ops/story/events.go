package story

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
)

// decoder converts a record's value to JSON: a [schema.Codec].
type decoder interface {
	DecodeJSON(ctx context.Context, b []byte) (object []byte, subject string, err error)
}

// tell builds the events and retries from the records. Copies of one event become one event with
// several places. failed is the registry's error if it could not be asked.
func tell(ctx context.Context, orderID string, records []record, codecs func(service string) decoder) (list []Event, retries []Retry, failed error) {
	type identity struct{ id, topic string }
	at, first := map[identity]int{}, map[identity]record{}
	for _, r := range records {
		if group, is := retriesOf(r.topic); is {
			if again, ok := retryOf(group, r); ok {
				retries = append(retries, again)
			}
			continue
		}
		env, _, err := event.ReadEnvelope(r.headers, r.time)
		if err == nil {
			known := identity{env.ID.String(), r.topic}
			i, twice := at[known]
			switch {
			case twice && !bytes.Equal(first[known].value, r.value):
				err = errors.New("it has the id of another event")
			case twice:
				list[i].ours = list[i].ours || r.outbox != ""
				if r.outbox == "" { // otherwise it is published and not marked yet
					list[i].Published = true
					list[i].Copies = append(list[i].Copies, r.place())
				}
				continue
			default:
				at[known], first[known] = len(list), r
			}
		}
		list = append(list, eventOf(r, env, err))
	}
	for i := range list {
		if decoding := list[i].decode(ctx, orderID, codecs(list[i].Service)); decoding != nil {
			failed = cmp.Or(failed, decoding)
		}
		slices.SortStableFunc(list[i].Copies, func(a, b Place) int {
			return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
		})
	}
	slices.SortStableFunc(retries, func(a, b Retry) int { return a.At.Compare(b.At) })
	return arrange(list), retries, failed
}

func (r record) place() Place { return Place{r.partition, r.offset, r.time} }

func eventOf(r record, env event.Envelope, condemned error) Event {
	e := Event{
		Type: env.Type, Service: env.Source[strings.LastIndex(env.Source, "/")+1:], Topic: r.topic, Version: env.AggregateVersion,
		At: env.Time, recorded: env.Time, causation: env.CausationID, Correlate: env.CorrelationID, Trace: env.TraceParent,
		Style: string(env.Style), Published: r.outbox == "" || r.published, Copies: []Place{}, value: r.value, ours: r.outbox != "",
	}
	if env.ID != uuid.Nil {
		e.ID = env.ID.String()
	}
	if r.outbox == "" {
		e.Copies = append(e.Copies, r.place())
	} else {
		e.Service = r.outbox
	}
	if condemned != nil {
		e.Problem = "no event: " + condemned.Error()
	}
	return e
}

// undecodable is the problem of a value that no schema can decode.
const undecodable = "its value cannot be decoded"

// decode fills in the fields that the value holds. The error is the registry's.
func (e *Event) decode(ctx context.Context, orderID string, codec decoder) error {
	hopeless := func(why string) error {
		e.DataError = why
		if e.Problem == "" && !e.ours {
			e.Problem = undecodable
		}
		return nil
	}
	if len(e.value) == 0 {
		return hopeless("no value")
	}
	if id, err := schema.SchemaID(e.value); err == nil {
		e.SchemaID = id
	}
	object, subject, err := codec.DecodeJSON(ctx, e.value)
	switch {
	case err != nil && errs.KindOf(err) == errs.Hopeless:
		return hopeless(err.Error())
	case err != nil:
		e.DataError = err.Error()
		return fmt.Errorf("the schema registry cannot be asked: %w", err)
	}
	e.Data = object
	if at, err := time.Parse(time.RFC3339Nano, e.field("occurredAt")); err == nil {
		e.At = event.StorableTime(at)
	}
	name := subject[strings.LastIndex(subject, ".")+1:]
	t, known := events.Catalogue().Lookup(e.Type)
	switch {
	case e.Problem != "":
	case name != e.Type:
		e.Problem = fmt.Sprintf("its value is %s", name)
	case known && t.Topic != e.Topic:
		e.Problem = "it does not belong on this topic"
	case e.field("orderId") != orderID:
		e.Problem = fmt.Sprintf("its value is of order %s", e.field("orderId"))
	}
	return nil
}

// field returns a text among the event's data, or "".
func (e Event) field(name string) string {
	var fields map[string]json.RawMessage
	var text string
	if json.Unmarshal(e.Data, &fields) == nil {
		_ = json.Unmarshal(fields[name], &text) // a field of another type is not text
	}
	return text
}

func retryOf(group string, r record) (Retry, bool) {
	head, _, err := retry.ParseHead(group, nil, nil, r.headers)
	if err != nil || head.Skip { // a foreign record, or the end of a discarded one
		return Retry{}, false
	}
	at := head.Last
	if at.IsZero() {
		at = r.time
	}
	return Retry{
		Group: group, Topic: head.Topic, Type: head.EventType, Attempts: head.Attempts, Class: head.Class, Error: head.Message,
		At: at, Due: head.NotBefore, Resubmit: head.DeadLetter != uuid.Nil,
	}, true
}
