package verify

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/retry"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

// Tests with foreign records beside the services' own: a record that harms no consumer is no
// breach, and hides none.

// TestReadsRecordsAsConsumersDo: an event with invalid advisory headers is still an event. A time
// that PostgreSQL cannot store is replaced as services do. A copy on another partition than its
// key's is distinguished from the event.
func TestReadsRecordsAsConsumersDo(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	orders := event.Topic{Name: events.TopicOrderEvents, Partitions: 3}
	brokers := kafkatest.Start(t, orders)
	codec := schema.NewCodec(schema.NewClient(schematest.Start(t).URL), events.Catalogue())
	if err := codec.Register(ctx, events.Catalogue().Types()...); err != nil {
		t.Fatal(err)
	}
	shipped := events.OrderShipped{OrderID: "order-1", TrackingID: "T-1", OccurredAt: began}
	value, err := codec.Encode(ctx, shipped)
	if err != nil {
		t.Fatal(err)
	}
	home := int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte("order-1")}, 3))
	advised, away, doubled := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	record := func(partition int32, id uuid.UUID, more ...kgo.RecordHeader) *kgo.Record {
		return &kgo.Record{
			Topic: orders.Name, Partition: partition, Key: []byte("order-1"), Value: value, Headers: append(envelopeOf(id, shipped), more...),
		}
	}
	records := []*kgo.Record{
		record(home, advised, kgo.RecordHeader{Key: event.HeaderTime, Value: []byte("yesterday")}, kgo.RecordHeader{Key: event.HeaderTraceParent, Value: []byte("x")}),
		record((home+1)%3, away),
		record(home, doubled, kgo.RecordHeader{Key: event.HeaderID, Value: []byte(away.String())}),
	}
	producer := kafkatest.NewClient(t, brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	var f Facts
	if err := readTopics(ctx, Sources{Kafka: kafka.Cluster{Brokers: brokers}}, oneRegistry(codec), &f); err != nil {
		t.Fatal(err)
	}
	got := map[uuid.UUID]Record{}
	for _, rec := range f.Records {
		got[rec.ID] = rec
	}
	for id, strays := range map[uuid.UUID]bool{advised: false, away: true} {
		if rec := got[id]; !sound(rec) || rec.Version != 3 || rec.Strayed != strays {
			t.Errorf("record %+v, want an event that strays: %t", rec, strays)
		}
	}
	if rec, ok := got[uuid.Nil]; !ok || rec.Event != nil || len(got) != 3 {
		t.Errorf("a record of two ids is read as %+v; %d ids", rec, len(got))
	}

	far := record(home, advised)
	far.Timestamp = time.UnixMilli(1 << 60)
	rec, err := recordOf(ctx, oneRegistry(codec), "order", far)
	if want := event.StorableTime(far.Timestamp); err != nil || !rec.Time.Equal(want) {
		t.Errorf("time %s (%v), want %s", rec.Time, err, want)
	}
}

// TestWhatCanBeNoEventIsNoBreach: a record with an envelope and an undecodable value, or with
// another order's key, is a dead letter in each group and nothing else.
func TestWhatCanBeNoEventIsNoBreach(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(w *world, r *Record){
		"an id of its own, undecodable":            func(w *world, r *Record) { r.ID, r.Event = w.id(), nil },
		"an id of its own, another key":            func(w *world, r *Record) { r.ID, r.Key = w.id(), "order-posing" },
		"the event's id, undecodable":              func(_ *world, r *Record) { r.Event = nil },
		"the event's id, another key and version":  func(_ *world, r *Record) { r.Key, r.Version = "order-posing", 1 },
		"the event's id, without a version of use": func(_ *world, r *Record) { r.Event, r.Version = nil, 1<<62 },
	} {
		for _, first := range []bool{false, true} {
			w := soundWorld()
			r := w.event(delivered, "OrderShipped")
			r.Partition = 1
			spoil(w, &r)
			r = w.record(r)
			for _, group := range Readers(events.TopicOrderEvents) {
				inbox := w.id() // derived from its place
				w.Inbox = append(w.Inbox, InboxRow{group, group, inbox})
				if group != projector {
					continue // the group does not subscribe to its type
				}
				l := w.letter(group, r, "dead_lettered", "discarded")
				l.InboxID, l.Parks = inbox, false
			}
			if first { // in the order of the partitions
				w.Records = append([]Record{r}, w.Records[:len(w.Records)-1]...)
			}
			w.Rebuilt = Rebuild(heard(w.Facts))
			for _, f := range Check(w.Facts) {
				if !f.OK() {
					t.Errorf("%s, read first: %t: %s %v", name, first, f.Invariant, f.Breaches)
				}
			}
		}
	}
}

// TestACopyElsewhereIsNotTheEvent: an event repeated with its own id, on a partition that is read
// first, is a duplicate, whatever its content.
func TestACopyElsewhereIsNotTheEvent(t *testing.T) {
	t.Parallel()
	w := soundWorld()
	r := w.event(delivered, "OrderShipped")
	r.Partition, r.Offset, r.Strayed, r.Version = 1, 0, true, 99
	r.Event = &events.OrderShipped{OrderID: delivered, TrackingID: "T-other", OccurredAt: began.Add(time.Hour)}
	w.Records = append([]Record{r}, w.Records...)
	if diff := cmp.Diff(w.Rebuilt, Rebuild(heard(w.Facts))); diff != "" {
		t.Errorf("read models (-without the copy +with it):\n%s", diff)
	}
	for _, f := range Check(w.Facts) {
		if !f.OK() {
			t.Errorf("%s: %v", f.Invariant, f.Breaches)
		}
	}
}

// TestAnEventOfAnotherKeyIsNotHeard: its dead letter may have been pruned.
func TestAnEventOfAnotherKeyIsNotHeard(t *testing.T) {
	t.Parallel()
	w := soundWorld()
	r := w.event(delivered, "OrderShipped")
	r.ID, r.Key = w.id(), "order-posing"
	w.record(r)
	if diff := cmp.Diff(w.Rebuilt, Rebuild(heard(w.Facts))); diff != "" {
		t.Errorf("read models (-without the record +with it):\n%s", diff)
	}
}

// TestRubbishHidesNoLostEvent: a record that has a lost event's id but cannot be an event is
// dead-lettered; the event still counts as lost.
func TestPoisonHidesNoLostEvent(t *testing.T) {
	t.Parallel()
	w := soundWorld()
	lost := w.event(stuck, "InventoryReserved")
	w.unhear("shipping", lost.ID)
	poison := lost
	poison.Event, poison.Partition, poison.Offset = nil, 1, 0
	w.Records = append([]Record{poison}, w.Records...)
	for _, group := range []string{"shipping", projector} {
		w.letter(group, poison, "dead_lettered", "discarded").InboxID = w.id()
	}
	breaches := settled(w.Facts).Breaches
	if len(breaches) != 1 || !strings.Contains(breaches[0], "is lost to group shipping") || !strings.Contains(breaches[0], stuck) {
		t.Errorf("breaches %q", breaches)
	}
}

// TestAStrangerIsNoLaterSnapshot: a record on the compacted topic that cannot be a snapshot does
// not excuse the loss of an order's latest snapshot.
func TestAStrangerIsNoLaterSnapshot(t *testing.T) {
	t.Parallel()
	w := soundWorld()
	r := w.event(delivered, "OrderSnapshot")
	lost := r.ID
	w.lose(lost)
	r.ID, r.Event = w.id(), nil
	w.record(r)
	if breaches := published(w.Facts).Breaches; !strings.Contains(strings.Join(breaches, "\n"), lost.String()+" is marked published and not on order.snapshots") {
		t.Errorf("breaches %q", breaches)
	}
}

// TestASkippedCopyHasNoEffectOfItsOwn: an operator had a copy of an event skipped, or an
// undecodable record with its id; the event was handled.
func TestASkippedCopyHasNoEffectOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, event := range []any{nil, &events.OrderCreated{OrderID: stuck}} {
		w := soundWorld()
		r := w.event(stuck, "OrderCreated")
		r.Event = event
		r = w.record(r)
		for _, group := range groups() {
			w.GivenUp = append(w.GivenUp, GivenUp{Service: group, Group: group, Place: r.Place(), Decision: "discarded"})
		}
		if f := settled(w.Facts); !f.OK() {
			t.Errorf("%v", f.Breaches)
		}
	}
}

// TestLongKeysWaitByTheirHash: tables of parked keys and records store a key of more than 512 bytes
// as its hash; retry records and dead letters have the key itself.
func TestLongKeysWaitByTheirHash(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("\xfe", 3000)
	hashed := retry.KeyOf(events.TopicOrderEvents, []byte(long)).Key
	w := soundWorld()
	r := w.event(stuck, "OrderCreated")
	r.ID, r.Key, r.Event, r.Partition, r.Strayed = w.id(), long, nil, 1, true
	r = w.record(r)
	for _, group := range SubscribersOf("OrderCreated", event.Choreographed) {
		l := w.letter(group, r, "dead_lettered")
		w.Inbox = append(w.Inbox, InboxRow{group, group, l.InboxID})
		w.parkedKey(group, long).Key = hashed
	}
	again := r
	again.Offset++
	w.Records = append(w.Records, again)
	for _, group := range SubscribersOf("OrderCreated", event.Choreographed) {
		w.follow(group, again, uuid.Nil)
		f := &w.ParkedRecords[len(w.ParkedRecords)-1]
		f.Key, f.InboxID = hashed, w.id()
		w.Inbox = append(w.Inbox, InboxRow{group, group, f.InboxID})
	}
	// In one group the head was resubmitted.
	l := w.of("payment", long, "open")
	l.then("resubmitted", "resubmitted")
	k := w.parkedKey("payment", hashed)
	k.State, k.Head = "retrying", w.send("payment", r, l.InboxID, l.ID, 0)
	for _, f := range Check(w.Facts) {
		if !f.OK() {
			t.Errorf("%s: %.500q", f.Invariant, f.Breaches)
		}
	}
}
