package codec

import (
	"testing"
	"time"

	twmb "github.com/twmb/avro"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// measured are the events that the benchmarks encode and decode.
func measured() []event.Event {
	at := time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC)
	return []event.Event{
		&events.OrderCreated{
			OrderID:         "0190163d-8694-739b-aea5-966c26f8ad91",
			Customer:        events.Customer{ID: "c-1", Name: "Zoë Example", Email: "zoe@example.com"},
			ShippingAddress: events.Address{Street: "1 Main St", City: "Köln", PostalCode: "50667", Country: "DE"},
			Items:           []events.OrderItem{{SKU: "TEA-GREEN", Quantity: 2, UnitPrice: 1499}, {SKU: "CUP", Quantity: 1, UnitPrice: 1}},
			TotalAmount:     2999, Currency: "EUR", ConfirmBy: at.Add(5 * time.Minute), OccurredAt: at,
		},
		&events.PaymentCompleted{
			OrderID: "0190163d-8694-739b-aea5-966c26f8ad91", PaymentID: "0190163d-8694-739b-aea5-966c26f8ad92",
			Amount: 2999, Currency: "EUR", OccurredAt: at,
		},
	}
}

// BenchmarkEncode and BenchmarkDecode compare the libraries, and the shop's codec with its
// additional checks.
func BenchmarkEncode(b *testing.B) {
	for _, e := range measured() {
		theirs, library, ours := newSecond(b, e.AvroSchema()), twmb.MustParse(e.AvroSchema()), newCodec(b)
		each(b, e.EventType(), map[string]func() error{
			"hamba":  func() error { _, err := theirs.api.Marshal(theirs.schema, e); return err },
			"twmb":   func() error { _, err := library.Encode(e); return err },
			"schema": func() error { _, err := ours.Encode(ctx(), e); return err },
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, e := range measured() {
		theirs, library, ours := newSecond(b, e.AvroSchema()), twmb.MustParse(e.AvroSchema()), newCodec(b)
		typ, _ := events.Catalogue().Lookup(e.EventType())
		value, err := ours.Encode(ctx(), e)
		if err != nil {
			b.Fatal(err)
		}
		each(b, e.EventType(), map[string]func() error{
			"hamba":  func() error { return theirs.api.Unmarshal(theirs.schema, value[prefix:], typ.New()) },
			"twmb":   func() error { _, err := library.Decode(value[prefix:], typ.New()); return err },
			"schema": func() error { _, err := ours.Decode(ctx(), typ, value); return err },
		})
	}
}

func each(b *testing.B, event string, codecs map[string]func() error) {
	for _, name := range []string{"hamba", "twmb", "schema"} {
		b.Run(event+"/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := codecs[name](); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
