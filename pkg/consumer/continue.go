package consumer

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/position"
)

// goOnWithin bounds how long an assignment waits for the stored positions.
const goOnWithin = 5 * time.Second

// goOn makes partitions continue at their stored positions where the group's offsets in Kafka are ahead
// of them: a backup of the database was restored, or an earlier release, which stores no positions, was
// the reader in between. Without it, the first record behind the offset would show that, and nothing would as long as
// there is none. While the database or the broker do not say, the offsets stay as they are.
func (c *Consumer) goOn(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	ctx, cancel := context.WithTimeout(ctx, goOnWithin)
	defer cancel()
	select {
	case <-c.joined: // c.client is set
	case <-ctx.Done():
		return offsets, nil
	}
	stored, err := position.Read(ctx, c.cfg.Pool, c.cfg.Group)
	if err != nil || len(stored) == 0 {
		c.log.DebugContext(ctx, "no stored positions", "error", err)
		return offsets, nil
	}
	topics, err := kadm.NewClient(c.client.Client).ListTopics(ctx, c.topics...)
	if err != nil {
		c.log.DebugContext(ctx, "topics not described", "error", err)
		return offsets, nil
	}
	for p, next := range stored {
		offset, assigned := offsets[p.Topic][p.Number]
		if !assigned || uuid.UUID(topics[p.Topic].ID) != p.TopicID || offset.EpochOffset().Offset <= next {
			continue
		}
		c.log.WarnContext(ctx, "the database is behind the group's offset; its position counts", "topic", p.Topic, "partition", p.Number,
			"offset", offset.EpochOffset().Offset, "position", next)
		offsets[p.Topic][p.Number] = kgo.NewOffset().At(next)
	}
	return offsets, nil
}
