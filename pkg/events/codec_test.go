package events_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/event/eventtest"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
)

// The contract as the codec writes and reads it: every type of the catalogue.

var at = time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC)

func orderCreated() events.OrderCreated {
	return events.OrderCreated{
		OrderID:         "o-1",
		Customer:        events.Customer{ID: "c-1", Name: "Zoë", Email: "zoe@example.com"},
		ShippingAddress: events.Address{Street: "1 Main St", City: "Köln", PostalCode: "50667", Country: "DE"},
		Items:           []events.OrderItem{{SKU: "A", Quantity: 2, UnitPrice: 1499}, {SKU: "B", Quantity: 1, UnitPrice: 1}},
		TotalAmount:     2999,
		Currency:        "EUR",
		ConfirmBy:       at.Add(5 * time.Minute),
		OccurredAt:      at,
	}
}

func TestEveryEventOfTheCatalogueRoundTrips(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	producer, consumer := r.codec(), r.codec()
	if err := producer.Register(t.Context(), events.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	for _, typ := range events.Catalogue().Types() {
		all := eventtest.Edges(typ)
		if typ.Name == "OrderCreated" {
			all["example"] = new(orderCreated())
		}
		for name, want := range all {
			b, err := producer.Encode(t.Context(), want)
			if err != nil {
				t.Errorf("%s, %s: %v", typ.Name, name, err)
				continue
			}
			got, err := consumer.Decode(t.Context(), typ, b)
			if err != nil {
				t.Errorf("%s, %s: %v", typ.Name, name, err)
				continue
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", typ.Name, name, diff)
			}
			if got.AggregateKey() != want.AggregateKey() || got.EventType() != typ.Name {
				t.Errorf("%s: key %q, type %q", typ.Name, got.AggregateKey(), got.EventType())
			}
		}
	}
}

func TestSchemasAreGeneratedInCanonicalForm(t *testing.T) {
	t.Parallel()
	for _, typ := range events.Catalogue().Types() {
		if c, err := schema.Canonical(typ.Schema); err != nil || c != typ.Schema {
			t.Errorf("%s is not generated in canonical form: %v", typ.Name, err)
		}
	}
}

// DecodeJSON's form of any event is sufficient to write the same bytes again.
func TestEncodeJSONIsTheInverseOfDecodeJSON(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	c := r.codec()
	if err := c.Register(t.Context(), events.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	for _, typ := range events.Catalogue().Types() {
		t.Run(typ.Name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				want, err := c.Encode(t.Context(), eventtest.Draw(rt, typ))
				if err != nil {
					rt.Fatal(err)
				}
				object, subject, err := c.DecodeJSON(t.Context(), want)
				if err != nil {
					rt.Fatal(err)
				}
				id, err := schema.SchemaID(want)
				if err != nil {
					rt.Fatal(err)
				}
				got, err := c.EncodeJSON(t.Context(), subject, id, object)
				if err != nil || !bytes.Equal(got, want) {
					rt.Fatalf("%s: % x, %v, want % x", object, got, err, want)
				}
			})
			// The newest schema of the subject is the one that was registered.
			want, err := c.Encode(t.Context(), typ.New())
			if errs.KindOf(err) == errs.Invalid {
				return // a zero time is before the year 1 in some zones; nothing to compare
			}
			object, _, err := c.DecodeJSON(t.Context(), want)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.EncodeJSON(t.Context(), typ.Subject, 0, object); err != nil || !bytes.Equal(got, want) {
				t.Errorf("with the newest schema: % x, %v, want % x", got, err, want)
			}
		})
	}
}

// FuzzDecodeEveryType decodes arbitrary bytes as every type of the catalogue by its own schema. A
// decoded value can be encoded again, and then decodes to the same value.
func FuzzDecodeEveryType(f *testing.F) {
	r := newRegistry(f)
	c := r.codec()
	catalogue := events.Catalogue().Types()
	if err := c.Register(f.Context(), catalogue...); err != nil {
		f.Fatal(err)
	}
	ids := make([]int, len(catalogue))
	for i, typ := range catalogue {
		value, err := c.Encode(f.Context(), eventtest.Edges(typ)["negative"])
		if err != nil {
			f.Fatal(err)
		}
		if ids[i], err = schema.SchemaID(value); err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), value[5:])
	}
	f.Fuzz(func(t *testing.T, n byte, body []byte) {
		i := int(n) % len(catalogue)
		got, err := c.Decode(t.Context(), catalogue[i], frame(ids[i], body))
		if err != nil {
			if got != nil || errs.KindOf(err) != errs.Hopeless {
				t.Fatalf("event %v and error %v of kind %v", got, err, errs.KindOf(err))
			}
			return
		}
		again, err := c.Encode(t.Context(), got)
		if err != nil {
			t.Fatalf("%+v cannot be encoded: %v", got, err)
		}
		same, err := c.Decode(t.Context(), catalogue[i], again)
		if err != nil {
			t.Fatalf("% x cannot be decoded: %v", again, err)
		}
		if !cmp.Equal(got, same) {
			t.Fatalf("%+v has become %+v", got, same)
		}
	})
}

// frame puts the wire format's prefix before a body.
func frame(id int, body []byte) []byte {
	return append([]byte{0, 0, 0, byte(id >> 8), byte(id)}, body...)
}
