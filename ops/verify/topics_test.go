package verify

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

// envelopeOf returns the envelope that an outbox gives an event.
func envelopeOf(id uuid.UUID, e event.Event) []kgo.RecordHeader {
	env := event.Envelope{
		ID: id, Source: "/eventshop/order", Type: e.EventType(), Subject: e.AggregateKey(), AggregateVersion: 3,
		Time: began, CorrelationID: "c", CausationID: "cause", ContentType: event.ContentTypeAvro,
	}
	var hs []kgo.RecordHeader
	for _, h := range env.Headers() {
		hs = append(hs, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return hs
}

// TestReadsTopics reads records of services and of foreign producers from a real broker, with a
// real registry's answers.
func TestReadsTopics(t *testing.T) {
	ctx := t.Context()
	orders := event.Topic{Name: events.TopicOrderEvents, Partitions: 1}
	letters := event.Topic{Name: event.DeadLetterTopic(orders.Name, "payment").Name, Partitions: 1}
	former := event.Topic{Name: event.DeadLetterTopic(events.TopicOrderNotifications, "payment").Name, Partitions: 1} // not declared: of an older shop
	emptied := event.Topic{Name: event.DeadLetterTopic(orders.Name, "order").Name, Partitions: 1}
	brokers := kafkatest.Start(t, orders, letters, former, emptied, event.Topic{Name: "unused", Partitions: 3})
	registry := schematest.Start(t).URL
	codec := schema.NewCodec(schema.NewClient(registry), events.Catalogue())
	if err := codec.Register(ctx, events.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	shipped := events.OrderShipped{OrderID: "order-1", TrackingID: "T-1", OccurredAt: began}
	value, err := codec.Encode(ctx, shipped)
	if err != nil {
		t.Fatal(err)
	}

	good, undecodable := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	letter, formerLetter := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	deadLetter := kgo.RecordHeader{Key: "dlq_id", Value: []byte(letter.String())}
	kafkatest.Produce(t, brokers,
		&kgo.Record{Topic: orders.Name, Key: []byte("order-1"), Value: value, Headers: envelopeOf(good, shipped)},
		&kgo.Record{Topic: orders.Name, Key: []byte("rubbish"), Value: []byte("rubbish")},
		&kgo.Record{Topic: orders.Name, Key: []byte("order-1"), Value: []byte{0}, Headers: envelopeOf(undecodable, shipped)},
		// Resubmitted with the headers of its dead letter: the same event again.
		&kgo.Record{Topic: orders.Name, Key: []byte("order-1"), Value: value, Headers: append(envelopeOf(good, shipped), deadLetter)},
		// Headers that an agent adds behind the envelope do not change the event.
		&kgo.Record{Topic: orders.Name, Key: []byte("order-1"), Value: value, Headers: append(envelopeOf(good, shipped),
			kgo.RecordHeader{Key: event.HeaderTraceParent, Value: []byte("one")}, kgo.RecordHeader{Key: event.HeaderTraceParent, Value: []byte("two")})},
		&kgo.Record{Topic: letters.Name, Key: []byte("order-1"), Value: value, Headers: append(envelopeOf(good, shipped), deadLetter)},
		&kgo.Record{Topic: former.Name, Key: []byte("order-1"), Value: value, Headers: append(envelopeOf(good, shipped),
			kgo.RecordHeader{Key: "dlq_id", Value: []byte(formerLetter.String())})},
		&kgo.Record{Topic: emptied.Name, Key: []byte("order-1"), Value: value},
	)
	// Retention removes a topic's last record; reading must not wait for it.
	upTo := kadm.Offsets{}
	upTo.Add(kadm.Offset{Topic: emptied.Name, Partition: 0, At: 1})
	if _, err := kadm.NewClient(kafkatest.NewClient(t, brokers)).DeleteRecords(ctx, upTo); err != nil {
		t.Fatal(err)
	}

	var f Facts
	if err := readTopics(ctx, Sources{Kafka: kafka.Cluster{Brokers: brokers}}, oneRegistry(codec), &f); err != nil {
		t.Fatal(err)
	}
	shippedAt := func(offset int64) Record {
		return Record{
			Topic: orders.Name, Offset: offset, Key: "order-1", ID: good, Type: "OrderShipped", Version: 3, Style: event.Choreographed, Causation: "cause", Event: &shipped,
		}
	}
	broken := shippedAt(2)
	broken.ID, broken.Event = undecodable, nil
	want := []Record{shippedAt(0), {Topic: orders.Name, Offset: 1, Key: "rubbish"}, broken, shippedAt(3), shippedAt(4)}
	got := f.Records
	for i := range got {
		if got[i].Time.IsZero() {
			t.Errorf("record %d has no time", i)
		}
		got[i].Time, got[i].Sum = time.Time{}, Sum{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	copies := map[string]uuid.UUID{}
	for _, c := range f.Copies {
		copies[c.Topic] = c.ID
	}
	if diff := cmp.Diff(map[string]uuid.UUID{letters.Name: letter, former.Name: formerLetter}, copies); diff != "" || len(f.Copies) != 2 {
		t.Errorf("copies of dead letters (-want +got):\n%s%+v", diff, f.Copies)
	}
}

// TestReadsTheLedgerToItsEnd: the gateway returns it in pages.
func TestReadsTheLedgerToItsEnd(t *testing.T) {
	pages := map[string]string{
		"0": `{"entries":[{"seq":1,"kind":"capture","orderId":"o-1","currency":"GBP","amount":9007199254740993},{"seq":4,"kind":"void","orderId":"o-2"}]}`,
		"4": `{"entries":[{"seq":5,"kind":"refund","orderId":"o-1","currency":"GBP","amount":7}]}`,
		"5": `{"entries":[{"seq":6,"kind":"refund","orderId":"o-1","currency":"GBP","amount":90071992547409.93,"amountMinor":9007199254740993}]}`,
		"6": `{"entries":[]}`,
	}
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Query().Get("after")]
		if !ok || r.URL.Path != "/v1/ledger" {
			http.Error(w, "no such page", http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(page))
	}))
	defer gateway.Close()
	got, err := ledger(t.Context(), gateway.URL)
	if err != nil {
		t.Fatal(err)
	}
	want := []LedgerEntry{{"o-1", "capture", "GBP", 9007199254740993}, {OrderID: "o-2", Kind: "void"}, {"o-1", "refund", "GBP", 7},
		{"o-1", "refund", "GBP", 9007199254740993}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	pages["0"] = `{"entries":[{"seq":1,"kind":"capture","orderId":"o-1","currency":"GBP","amount":99.99}]}`
	if _, err := ledger(t.Context(), gateway.URL); err == nil || !strings.Contains(err.Error(), "99.99") {
		t.Errorf("a decimal without amountMinor: %v", err)
	}
	if _, err := ledger(t.Context(), gateway.URL+"/other"); err == nil {
		t.Error("a gateway that answers 404 is believed")
	}
}
