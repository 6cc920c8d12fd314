package consumer

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/inbox"
	"eventshop.example/pkg/position"
)

// receive finds out which records are fresh: by a row of the inbox per message, or by a position per
// partition. It waits for a second owner of the same partitions.
func (t *transaction) receive(ctx context.Context, portions []portion, items []*item) error {
	var ids map[uuid.UUID]bool // fresh
	var before map[position.Partition]int64
	var err error
	if t.cfg.Positions {
		ids, before, err = t.advance(ctx, portions, items)
	} else {
		ids, err = inbox.Receive(ctx, t.tx, t.cfg.Group, messages(items))
	}
	if err != nil {
		return fmt.Errorf("receive records: %w", err)
	}
	for _, s := range portions {
		stored := before[s.q.position()]
		for _, it := range s.items() {
			if it.fresh = it.kind != foreign && it.record.Offset >= stored && ids[it.id]; it.fresh {
				ids[it.id] = false // the batch may contain the same event twice
			}
		}
	}
	return nil
}

// messages returns what the inbox stores of the records.
func messages(items []*item) []inbox.Message {
	var msgs []inbox.Message
	for _, it := range items {
		if it.kind != foreign {
			msgs = append(msgs, inbox.Message{ID: it.id, Type: it.typeName()})
		}
	}
	return msgs
}

// reached is from where a queue's records continue without a gap.
type reached struct {
	left   int64 // behind the last record that this queue has committed
	sought int64 // where the fetching was set to
}

var nowhere = reached{-1, -1}

// continues reports whether a record at the offset is the next one that exists behind the position.
// Kafka may have no record at an offset, so the numbers alone do not show that.
func (r reached) continues(stored, offset int64) bool {
	return offset <= stored || stored == r.left || stored == r.sought
}

// position returns what the position of the queue's partition is stored by.
func (q *queue) position() position.Partition {
	return position.Partition{Topic: q.topic, TopicID: q.topicID, Number: q.partition}
}

// misplaced is the error of a transaction whose records do not continue from the stored position.
type misplaced struct {
	q      *queue
	stored int64
}

func (e *misplaced) Error() string {
	return fmt.Sprintf("%s/%d is handled up to offset %d only", e.q.topic, e.q.partition, e.stored)
}

// advance moves the positions of the batch's partitions behind their last records. It returns the
// ids of messages without a receipt, and the positions before. Receipts are of records that failed,
// or of an earlier release that stored no positions.
func (t *transaction) advance(ctx context.Context, portions []portion, items []*item) (fresh map[uuid.UUID]bool, before map[position.Partition]int64, err error) {
	to := map[position.Partition]int64{}
	for _, s := range portions {
		if s.q.topicID == uuid.Nil {
			return nil, nil, errs.New(errs.Transient, "the broker names no id of topic %s; positions need Apache Kafka 3.1 or newer", s.q.topic)
		}
		to[s.q.position()] = s.q.items[s.n-1].record.Offset + 1
	}
	if before, err = position.Advance(ctx, t.tx, t.cfg.Group, to); err != nil {
		return nil, nil, err
	}
	asked := false
	for _, s := range portions {
		first := s.q.items[0].record.Offset
		if stored, ok := before[s.q.position()]; ok && !s.q.reached.continues(stored, first) {
			return nil, nil, &misplaced{s.q, stored}
		}
		// A queue that has committed nothing may be of a partition that another process has owned.
		asked = asked || s.q.reached.left < 0
	}
	if asked && !t.receipts {
		if t.Consumer.receipts, err = inbox.Any(ctx, t.tx, t.cfg.Group); err != nil {
			return nil, nil, err
		}
	}
	fresh = map[uuid.UUID]bool{}
	var ids []uuid.UUID
	for _, m := range messages(items) {
		fresh[m.ID] = true
		ids = append(ids, m.ID)
	}
	if t.receipts {
		received, err := inbox.Seen(ctx, t.tx, t.cfg.Group, ids)
		if err != nil {
			return nil, nil, err
		}
		for id := range received {
			fresh[id] = false
		}
	}
	if t.cfg.Advanced != nil {
		err = t.cfg.Advanced(ctx, t.tx, movesOf(portions, before, fresh))
	}
	return fresh, before, err
}

// movesOf returns how far the batch moves the positions of its partitions.
func movesOf(portions []portion, before map[position.Partition]int64, fresh map[uuid.UUID]bool) []position.Move {
	moves := make([]position.Move, len(portions))
	for i, s := range portions {
		m := position.Move{Partition: s.q.position(), From: s.q.items[0].record.Offset, To: s.q.items[s.n-1].record.Offset + 1}
		if stored, ok := before[m.Partition]; ok {
			m.From = stored
		}
		m.Received = slices.ContainsFunc(s.q.items[:s.n], func(it *item) bool {
			return it.kind != foreign && !fresh[it.id] && it.record.Offset >= m.From
		})
		moves[i] = m
	}
	return moves
}

// receiveFailed inserts the receipts of records that were not handled, where the group stores
// positions. Another copy of such an event is a duplicate: what becomes of the event is decided
// about this record.
func (t *transaction) receiveFailed(ctx context.Context) error {
	if !t.cfg.Positions {
		return nil
	}
	var msgs []inbox.Message
	for _, h := range t.heads {
		msgs = append(msgs, inbox.Message{ID: h.InboxID, Type: h.EventType})
	}
	for _, l := range t.letters {
		msgs = append(msgs, inbox.Message{ID: l.InboxID, Type: l.EventType})
	}
	for _, f := range t.followers {
		msgs = append(msgs, inbox.Message{ID: f.InboxID, Type: f.EventType})
	}
	if len(msgs) == 0 {
		return nil
	}
	t.Consumer.receipts = true
	_, err := inbox.Receive(ctx, t.tx, t.cfg.Group, msgs)
	return err
}

// rewind makes a partition continue at its stored position: the group's offset in Kafka is ahead of
// the database, for example because a backup of the database was restored. Its records leave the
// batch and are fetched again, with those before them.
func (c *Consumer) rewind(portions []portion, at *misplaced) []portion {
	q := at.q
	c.log.Warn("the database is behind the group's offset; its position counts", "topic", q.topic, "partition", q.partition,
		"offset", q.items[0].record.Offset, "position", at.stored)
	c.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{q.topic: {q.partition: {Epoch: -1, Offset: at.stored}}})
	// Where the record at the position no longer exists, the next one that does is fetched.
	*q = queue{topicPartition: q.topicPartition, topicID: q.topicID, reached: reached{left: -1, sought: at.stored}}
	var rest []portion
	for _, s := range portions {
		if s.q != q {
			rest = append(rest, s)
		}
	}
	return rest
}

// topicIDs returns the ids of the fetched topics. A fetch never has records of two topics of one name.
func topicIDs(fetches kgo.Fetches) map[string]uuid.UUID {
	ids := map[string]uuid.UUID{}
	for _, f := range fetches {
		for _, t := range f.Topics {
			if t.TopicID != [16]byte{} {
				ids[t.Topic] = t.TopicID
			}
		}
	}
	return ids
}
