package relay

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/kafkatest"
)

// columns is a row of a read with the columns' bytes.
type columns struct{ rec event.Envelope }

func (c columns) FieldDescriptions() []pgconn.FieldDescription { return nil }
func (c columns) Values() ([]any, error)                       { return nil, nil }
func (c columns) RawValues() [][]byte                          { return nil }

// Scan fills the destinations in the order of the read's columns.
func (c columns) Scan(dest ...any) error {
	text := func(i int, value string, null bool) {
		if !null {
			*(dest[i].(*column)) = column(value)
		}
	}
	e := c.rec
	*(dest[0].(*int64)) = 7
	*(dest[2].(*pgtype.UUID)) = pgtype.UUID{Bytes: e.ID, Valid: true}
	text(4, "t", false)
	text(5, "key", false)
	text(6, "payload", false)
	text(9, e.Type, false)
	text(10, e.Subject, false)
	text(11, e.Source, false)
	text(12, e.Time.UTC().Format("2006-01-02T15:04:05.000000Z07:00"), false)
	*(dest[13].(*pgtype.Int8)) = pgtype.Int8{Int64: e.AggregateVersion, Valid: true}
	text(14, e.CorrelationID, e.CorrelationID == "")
	text(15, e.CausationID, e.CausationID == "")
	text(16, e.ContentType, false)
	text(17, e.TraceParent, e.TraceParent == "")
	text(18, e.TraceState, false)
	text(19, string(e.Style), false)
	return nil
}

// The relay builds an event's headers from the columns, and they are those of the envelope.
func TestHeadersAreThoseOfTheEnvelope(t *testing.T) {
	t.Parallel()
	word := rapid.StringMatching(`[a-zA-Z0-9/é -]{0,12}`)
	rapid.Check(t, func(t2 *rapid.T) {
		e := event.Envelope{
			ID: uuid.Must(uuid.NewV7()), Source: word.Draw(t2, "source"), Type: word.Draw(t2, "type"), Subject: word.Draw(t2, "subject"),
			AggregateVersion: rapid.Int64().Draw(t2, "version"), Time: time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(t2, "time")),
			CorrelationID: word.Draw(t2, "correlation"), CausationID: word.Draw(t2, "causation"), ContentType: word.Draw(t2, "content"),
			TraceParent: word.Draw(t2, "parent"), Style: rapid.SampledFrom([]event.Style{event.Choreographed, event.Orchestrated}).Draw(t2, "style"),
		}
		if e.TraceParent != "" {
			e.TraceState = word.Draw(t2, "state")
		}
		rec, err := scanRecord(columns{e})
		if err != nil || rec.broken != nil {
			t.Fatal(err, rec.broken)
		}
		if diff := cmp.Diff(e.Headers(), kafkatest.Headers(rec.kafka)); diff != "" {
			t.Fatal(diff)
		}
		if string(rec.kafka.Key) != "key" || string(rec.kafka.Value) != "payload" || rec.orderKey != (orderKey{topic: "t", key: "key"}) {
			t.Fatalf("%+v", rec)
		}
	})
}
