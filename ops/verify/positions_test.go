package verify

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"

	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafkatest"
)

// positionedWorld returns the sound world with a projection that stores positions: it has receipts only of
// the records that it failed to handle.
func positionedWorld() *world {
	w := soundWorld()
	failed := map[uuid.UUID]bool{}
	for _, h := range hold(w.Facts).all {
		if h.group == projector {
			failed[h.inboxID] = true
		}
	}
	w.Inbox = slices.DeleteFunc(w.Inbox, func(r InboxRow) bool { return r.Group == projector && !failed[r.ID] })
	for topic, next := range w.offsets {
		w.Positions = append(w.Positions, Position{Service: projector, Group: projector, Topic: topic, Next: next})
	}
	w.rebuild()
	return w
}

// moveTo sets the projection's position on a topic.
func (w *world) moveTo(topic string, next int64) {
	for i := range w.Positions {
		if w.Positions[i].Topic == topic {
			w.Positions[i].Next = next
		}
	}
}

// TestPositionsStandForReceipts: with them every invariant holds, and counts as many events as with
// receipts.
func TestPositionsStandForReceipts(t *testing.T) {
	w := positionedWorld()
	for _, r := range Check(w.Facts) {
		if !r.OK() {
			t.Errorf("%s: %v", r.Invariant, r.Breaches)
		}
	}
	if got, want := settled(w.Facts).Counted, settled(soundWorld().Facts).Counted; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestWhatIsBeyondThePositionIsLost: no position covers it, whatever the inbox has forgotten.
func TestWhatIsBeyondThePositionIsLost(t *testing.T) {
	w := positionedWorld()
	rec := w.event(delivered, "PaymentCompleted")
	w.moveTo(rec.Topic, rec.Offset)
	r := settled(w.Facts)
	if !slices.ContainsFunc(r.Breaches, func(b string) bool {
		return strings.Contains(b, rec.ID.String()) && strings.Contains(b, "lost to group projection")
	}) {
		t.Errorf("breaches %v, want one that names %s", r.Breaches, rec.ID)
	}
	w.moveTo(rec.Topic, w.offsets[rec.Topic])
	if r := settled(w.Facts); !r.OK() {
		t.Errorf("with its position: %v", r.Breaches)
	}
}

// TestAHandledEventWaitsAsACopy: the event was handled, and was published again while a later event
// of its key waits for a decision. The copy waits behind it. The event still counts as handled, in
// I7 and in the rebuilt read models.
func TestAHandledEventWaitsAsACopy(t *testing.T) {
	w := positionedWorld()
	rec := w.event(delivered, "PaymentCompleted")
	again := w.record(rec)
	w.Inbox = append(w.Inbox, InboxRow{projector, projector, rec.ID})
	w.ParkedKeys = append(w.ParkedKeys, ParkedKey{projector, projector, rec.Topic, rec.Key, uuid.Nil, "retrying"})
	w.follow(projector, again, uuid.Nil)
	w.moveTo(rec.Topic, w.offsets[rec.Topic])
	if got := Rebuild(heard(w.Facts)).Timeline[delivered][rec.ID]; got != "PaymentCompleted" {
		t.Errorf("rebuilt without the event: %q", got)
	}
	s := settlement{Facts: w.Facts, held: hold(w.Facts), inbox: received(w.Facts), finding: &Finding{}}
	for _, reader := range readers() {
		if reader.group != projector {
			continue
		}
		if got := s.state(reader, rec); got != "done" {
			t.Errorf("the event is %q, want done", got)
		}
		if got := s.state(reader, again); got != "retrying" {
			t.Errorf("its copy is %q, want retrying", got)
		}
	}
}

// TestOnePositionPerPartition is a part of I5.
func TestOnePositionPerPartition(t *testing.T) {
	w := positionedWorld()
	w.Positions = append(w.Positions, Position{Service: projector, Group: projector, Topic: events.TopicOrderEvents, TopicID: uuid.New()})
	if r := effects(w.Facts); r.OK() || !strings.Contains(r.Breaches[0], "two positions on order.events/0") {
		t.Errorf("breaches %v", r.Breaches)
	}
}

// TestWhichPositionsCount: those of the topics that exist. A partition without one counts by the
// offset that its group has committed, but only when no receipt of the group is left.
func TestWhichPositionsCount(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	adm := kadm.NewClient(kafkatest.NewClient(t, s.brokers))
	listed, err := adm.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	present := uuid.UUID(listed[events.TopicOrderEvents].ID)
	offsets := kadm.Offsets{}
	offsets.AddOffset(events.TopicOrderEvents, 0, 9, -1)
	offsets.AddOffset(events.TopicPaymentEvents, 0, 4, -1)
	if err := adm.CommitAllOffsets(t.Context(), projector, offsets); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uuid.UUID{uuid.New(), present} {
		s.exec(t, projector, `INSERT INTO consumer_positions (consumer_group, topic, topic_id, topic_partition, next_offset) VALUES ($1, $2, $3, 0, 5)`,
			projector, events.TopicOrderEvents, id)
	}
	next := func() map[partitionOf]int64 {
		t.Helper()
		return reached(s.facts(t))
	}
	order, payment := partitionOf{projector, partition{events.TopicOrderEvents, 0}}, partitionOf{projector, partition{events.TopicPaymentEvents, 0}}
	if diff := cmp.Diff(map[partitionOf]int64{order: 5, payment: 4}, next(), cmp.AllowUnexported(partitionOf{}, partition{})); diff != "" {
		t.Errorf("without receipts (-want +got):\n%s", diff)
	}
	s.exec(t, projector, `INSERT INTO inbox (consumer_group, message_id, event_type) VALUES ($1, $2, 'OrderCreated')`, projector, uuid.Must(uuid.NewV7()))
	if diff := cmp.Diff(map[partitionOf]int64{order: 5}, next(), cmp.AllowUnexported(partitionOf{}, partition{})); diff != "" {
		t.Errorf("with a receipt (-want +got):\n%s", diff)
	}
}
