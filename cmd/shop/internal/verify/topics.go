package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
)

// readTopics reads every topic from offset 0 to the end as of now: those of the
// catalogue into Records, the groups' own into Retries and Copies.
func readTopics(ctx context.Context, src Sources, codec *schema.Codec, f *Facts) error {
	cl, err := src.Kafka.Client()
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	listed, err := adm.ListTopics(ctx)
	if err != nil {
		return err
	}
	var names []string
	partitions := map[string]int{}
	for _, t := range listed.Names() {
		if !listed[t].IsInternal && !strings.HasPrefix(t, "_") { // heartbeats, Kafka Connect's own
			names = append(names, t)
			partitions[t] = len(listed[t].Partitions)
		}
	}
	ends, err := adm.ListEndOffsets(ctx, names...)
	if err != nil {
		return err
	}
	begins, err := adm.ListStartOffsets(ctx, names...)
	if err != nil {
		return err
	}
	starts := map[string]map[int32]kgo.Offset{}
	left := 0
	want := map[string]map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if first, _ := begins.Lookup(o.Topic, o.Partition); first.Offset >= o.Offset {
			return // empty, or emptied by retention: there is no record to wait for
		}
		if starts[o.Topic] == nil {
			starts[o.Topic], want[o.Topic] = map[int32]kgo.Offset{}, map[int32]int64{}
		}
		starts[o.Topic][o.Partition] = kgo.NewOffset().AtStart()
		want[o.Topic][o.Partition] = o.Offset
		left++
	})
	if left == 0 {
		return nil
	}
	reader, err := src.Kafka.Client(kgo.ConsumePartitions(starts), kgo.KeepControlRecords()) // a transaction's may be the last of a partition
	if err != nil {
		return err
	}
	defer reader.Close()
	for left > 0 {
		fetches := reader.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		if errors := fetches.Errors(); len(errors) > 0 {
			return fmt.Errorf("fetch %s: %w", errors[0].Topic, errors[0].Err)
		}
		var failed error
		fetches.EachRecord(func(r *kgo.Record) {
			end, open := want[r.Topic][r.Partition]
			if !open {
				return
			}
			switch {
			case r.Offset >= end, r.Attrs.IsControl():
			case own(r.Topic):
				f.sort(r.Topic, r.Key, r.Value, headersOf(r), r.Timestamp)
			default:
				rec, err := recordOf(ctx, codec, r)
				if err != nil {
					failed = err
				}
				rec.Strayed = strayed(r, partitions[r.Topic])
				f.Records = append(f.Records, rec)
			}
			if r.Offset >= end-1 {
				delete(want[r.Topic], r.Partition)
				left--
			}
		})
		if failed != nil {
			return failed
		}
	}
	slices.SortStableFunc(f.Records, func(a, b Record) int {
		switch {
		case a.Topic != b.Topic:
			if a.Topic < b.Topic {
				return -1
			}
			return 1
		case a.Partition != b.Partition:
			return int(a.Partition - b.Partition)
		default:
			return int(a.Offset - b.Offset)
		}
	})
	return nil
}

func headersOf(r *kgo.Record) []events.Header {
	hs := make([]events.Header, len(r.Headers))
	for i, h := range r.Headers {
		hs[i] = events.Header{Key: h.Key, Value: h.Value}
	}
	return hs
}

// strayed reports whether a record lies on another of its topic's partitions than its key's.
func strayed(r *kgo.Record, partitions int) bool {
	home := kgo.StickyKeyPartitioner(nil).ForTopic(r.Topic).Partition(&kgo.Record{Key: r.Key}, partitions)
	return len(r.Key) > 0 && home != int(r.Partition)
}

// recordOf reads a record as consumers do, and decodes what can be decoded; a record that is
// no event keeps its place with a zero id. Its time is the one that services store. Only a
// registry that does not answer is an error.
func recordOf(ctx context.Context, codec *schema.Codec, r *kgo.Record) (Record, error) {
	hs := headersOf(r)
	rec := Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: string(r.Key), Time: events.StorableTime(r.Timestamp), Sum: sumOf(r.Key, r.Value, hs),
	}
	env, _, err := events.ReadEnvelope(hs, r.Timestamp) // as the services do: advice that is wrong makes it no other event
	if err != nil {
		return rec, nil
	}
	rec.ID, rec.Type, rec.Version, rec.Causation = env.ID, env.Type, env.AggregateVersion, env.CausationID
	t, ok := events.Lookup(env.Type)
	if !ok || t.Topic != r.Topic {
		return rec, nil
	}
	event, err := codec.DecodeAtOnce(ctx, t, r.Value)
	switch {
	case err == nil:
		rec.Event = event
	case errs.KindOf(err) != errs.Hopeless:
		return rec, err
	}
	return rec, nil
}
