package projection

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
)

// atHand is how many records at hand suffice while a partition has none.
const atHand = 50_000

// take returns up to most records below the bound, those of a partition in order and without a gap. Of
// several partitions it returns the oldest records first. So what belongs together is mostly in one set,
// although it is on several topics. It returns none when it has reached the bound. It waits for the broker
// as long as ctx lasts, and then returns what there is. While there is a set, it does not wait long for a
// partition that does not answer.
func (s *source) take(ctx context.Context, bound positions, most int) ([]*kgo.Record, error) {
	for {
		for s.has < max(atHand, most) && ctx.Err() == nil {
			at, waits := s.waits(bound)
			if !waits {
				break
			}
			has, within, cancel := s.has, ctx, func() {}
			if has >= most {
				within, cancel = context.WithTimeout(ctx, 2*fetchWait)
			}
			err := s.poll(within, at.topic)
			cancel()
			if err != nil {
				return nil, err
			}
			if s.has == has {
				break
			}
		}
		if taken := s.oldest(bound, most); len(taken) > 0 || s.next.behind(bound, s.counts) == 0 || ctx.Err() != nil {
			return taken, nil
		}
	}
}

// oldest takes up to most records below the bound from those at hand.
func (s *source) oldest(bound positions, most int) []*kgo.Record {
	type queue struct {
		at      partition
		records []*kgo.Record // below the bound
	}
	var queues []*queue
	for _, at := range s.sorted() {
		records := s.ahead[at]
		n, _ := slices.BinarySearchFunc(records, bound[at], func(r *kgo.Record, offset int64) int { return cmp.Compare(r.Offset, offset) })
		if n > 0 {
			queues = append(queues, &queue{at, records[:n]})
		}
	}
	var taken []*kgo.Record
	for len(queues) > 0 && len(taken) < most {
		first := 0
		for i, q := range queues {
			if q.records[0].Timestamp.Before(queues[first].records[0].Timestamp) {
				first = i
			}
		}
		q := queues[first]
		taken = append(taken, q.records[0])
		s.next[q.at], s.ahead[q.at], s.has = q.records[0].Offset+1, s.ahead[q.at][1:], s.has-1
		if q.records = q.records[1:]; len(q.records) == 0 {
			queues = slices.Delete(queues, first, first+1)
		}
	}
	return taken
}

// waits returns a partition below the bound that has no record at hand. ok is false when there is none.
func (s *source) waits(bound positions) (at partition, ok bool) {
	for at := range s.counts {
		if s.next[at] < bound[at] && len(s.ahead[at]) == 0 {
			return at, true
		}
	}
	return at, false
}

func (s *source) sorted() []partition {
	return slices.SortedFunc(maps.Keys(s.ahead), func(a, b partition) int {
		return cmp.Or(slices.Compare(a.topic[:], b.topic[:]), cmp.Compare(a.number, b.number))
	})
}

// poll waits for records of a topic.
func (s *source) poll(ctx context.Context, topic uuid.UUID) error {
	fetches := s.clients[topic].PollFetches(ctx)
	var failed error
	fetches.EachError(func(topic string, number int32, err error) {
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, kerr.OffsetOutOfRange):
			failed = errs.New(errs.Conflict, "%w: %s/%d lost records while they were read", errBeginning, topic, number)
		case failed == nil:
			failed = errs.New(errs.Transient, "read %s/%d: %w", topic, number, err)
		}
	})
	if failed != nil {
		return failed
	}
	for _, f := range fetches {
		for _, t := range f.Topics {
			for _, p := range t.Partitions {
				if len(p.Records) == 0 {
					continue
				}
				if _, known := s.names[uuid.UUID(t.TopicID)]; !known {
					return errs.New(errs.Transient, "topic %s was created again", t.Topic)
				}
				at := partition{uuid.UUID(t.TopicID), p.Partition}
				s.ahead[at] = append(s.ahead[at], p.Records...)
				s.has += len(p.Records)
			}
		}
	}
	return nil
}
