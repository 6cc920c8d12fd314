package event_test

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"eventshop.example/pkg/event"
)

// The metadata of an event travels in the headers of its Kafka record. A wrong time is replaced and
// reported; the record can be used all the same. Without an id it cannot.
func ExampleReadEnvelope() {
	recorded := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	sent := event.Envelope{
		ID: uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057"), Source: "/lockers/parcel",
		Type: "ParcelLabelled", Subject: "p-1", AggregateVersion: 2, Time: recorded,
		CorrelationID: "c-1", CausationID: "01890a5d-ac96-774b-bcce-b302099a8056", ContentType: event.ContentTypeAvro,
	}
	headers := sent.Headers()
	for _, h := range headers[:4] {
		fmt.Println(h.Key, string(h.Value))
	}
	headers = append(headers, event.Header{Key: event.HeaderTime, Value: []byte("yesterday")}) // a second ce_time

	read, replaced, err := event.ReadEnvelope(headers, recorded)
	fmt.Println(read.Type, read.Subject, read.AggregateVersion, read.Time.Equal(recorded), replaced, err)

	_, _, err = event.ReadEnvelope(headers[2:], recorded)
	fmt.Println(err)
	// Output:
	// ce_specversion 1.0
	// ce_id 01890a5d-ac96-774b-bcce-b302099a8057
	// ce_source /lockers/parcel
	// ce_type ParcelLabelled
	// ParcelLabelled p-1 2 true [ce_time] <nil>
	// header ce_id is missing
}
