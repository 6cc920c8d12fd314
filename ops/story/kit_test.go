package story

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// theOrder is the order of the tests.
const theOrder = "019b76da-4001-7000-8000-000000004001"

// noon is the time at which it was placed.
func noon() time.Time { return time.Date(2026, 2, 3, 12, 0, 0, 0, time.UTC) }

// id returns the id of the nth event.
func id(n int) string { return fmt.Sprintf("019b76da-5000-7000-8000-%012d", n) }

// history is the content of topics and outboxes, built step by step.
type history struct {
	records []record
	offsets map[string]int64
}

// plainly decodes values that are JSON behind the name of their type: "name|{…}".
type plainly struct{ down bool }

func plain(string) decoder { return plainly{} }

func (p plainly) DecodeJSON(_ context.Context, b []byte) ([]byte, string, error) {
	if p.down {
		return nil, "", errs.New(errs.Transient, "registry away")
	}
	name, object, ok := strings.Cut(string(b), "|")
	if !ok {
		return nil, "", errs.New(errs.Hopeless, "rubbish")
	}
	return []byte(object), "eventshop.test.v1." + name, nil
}

// add adds the nth event, at ms milliseconds after noon, caused by the event with the number cause;
// 0 is no cause. It returns the record, which the test may change.
func (h *history) add(n int, typ string, ms, cause int, fields ...string) *record {
	if h.offsets == nil {
		h.offsets = map[string]int64{}
	}
	t, known := events.Catalogue().Lookup(typ)
	if !known {
		panic(typ)
	}
	at := noon().Add(time.Duration(ms) * time.Millisecond)
	if cause == 0 {
		cause = n
	}
	service, _, _ := strings.Cut(t.Topic, ".")
	values := map[string]string{"orderId": theOrder, "occurredAt": at.Format(time.RFC3339Nano)}
	for i := 0; i+1 < len(fields); i += 2 {
		values[fields[i]] = fields[i+1]
	}
	object, _ := json.Marshal(values) // texts can always be encoded
	r := record{topic: t.Topic, partition: 3, offset: h.offsets[t.Topic], time: at, value: []byte(typ + "|" + string(object))}
	h.offsets[t.Topic]++
	for name, value := range map[string]string{
		event.HeaderID: id(n), event.HeaderType: typ, event.HeaderSubject: theOrder, event.HeaderSource: "/eventshop/" + service,
		event.HeaderTime: at.Format(time.RFC3339Nano), event.HeaderAggregateVersion: fmt.Sprint(h.offsets[t.Topic]),
		event.HeaderCausationID: id(cause), event.HeaderSpecVersion: "1.0", event.HeaderContentType: event.ContentTypeAvro,
	} {
		r.headers = append(r.headers, event.Header{Key: name, Value: []byte(value)})
	}
	h.records = append(h.records, r)
	return &h.records[len(h.records)-1]
}

// set sets a header.
func (r *record) set(name, value string) {
	for i := range r.headers {
		if r.headers[i].Key == name {
			r.headers[i].Value = []byte(value)
		}
	}
}

// delivered adds the history of a delivered order.
func (h *history) delivered() *history {
	h.add(1, "OrderCreated", 0, 0)
	h.add(2, "PaymentCompleted", 20, 1)
	h.add(3, "InventoryReserved", 30, 2)
	h.add(4, "ShipmentScheduled", 40, 3)
	h.add(5, "OrderConfirmed", 50, 4)
	h.add(6, "ShipmentDispatched", 1000, 0)
	h.add(7, "OrderShipped", 1010, 6)
	h.add(8, "ShipmentDelivered", 2000, 0)
	h.add(9, "OrderDelivered", 2010, 8)
	return h
}

// told returns the events in their order, as "n type ← cause delay".
func (h *history) reported(t *testing.T) []string {
	t.Helper()
	list, _, err := tell(t.Context(), theOrder, h.records, plain)
	if err != nil {
		t.Fatal(err)
	}
	return shapes(list)
}

func shapes(list []Event) []string {
	out := []string{}
	for _, e := range list {
		cause := e.Cause.Kind
		switch cause {
		case ByEvent:
			cause = fmt.Sprint(e.Cause.N)
		case ByOutside:
			cause = e.Cause.Type
		}
		text := fmt.Sprintf("%d %s ← %s", e.N, e.Type, cause)
		if e.DelayMS != nil {
			text += fmt.Sprintf(" %gms", *e.DelayMS)
		}
		if !e.Published {
			text += " unpublished"
		}
		if len(e.Copies) > 1 {
			text += fmt.Sprintf(" %d copies", len(e.Copies))
		}
		if e.Problem != "" {
			text += " (" + e.Problem + ")"
		}
		out = append(out, text)
	}
	return out
}
