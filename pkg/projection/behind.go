package projection

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/position"
	"eventshop.example/pkg/postgres"
)

// Reach is how far a version contains the topics.
type Reach struct {
	Projection string
	Version    int
	// Positions are the offsets behind the last records that it contains. nil: those of the reader,
	// which feeds it.
	Positions map[position.Partition]int64
}

// Reached returns how far each version is that contains records or is being filled, by projection and
// number. It is one query.
func (c *Control) Reached(ctx context.Context) ([]Reach, error) {
	rows, err := c.pool.Query(ctx, `
		SELECT v.projection, v.version, v.attached, p.topic, p.topic_id, p.topic_partition, p.next_offset
		FROM public.projection_versions v
		LEFT JOIN public.projection_positions p ON p.projection = v.projection AND p.version = v.version AND NOT v.attached
		WHERE v.state IN ('filling', 'following', 'live') ORDER BY v.projection, v.version`)
	var all []Reach
	if err == nil {
		var of id
		var attached bool
		var topic *string
		var topicID *uuid.UUID
		var number *int32
		var next *int64
		_, err = pgx.ForEachRow(rows, []any{&of.projection, &of.number, &attached, &topic, &topicID, &number, &next}, func() error {
			if n := len(all); n == 0 || of != (id{all[n-1].Projection, all[n-1].Version}) {
				all = append(all, Reach{Projection: of.projection, Version: of.number})
				if !attached {
					all[n].Positions = map[position.Partition]int64{}
				}
			}
			if topic != nil {
				all[len(all)-1].Positions[position.Partition{Topic: *topic, TopicID: *topicID, Number: *number}] = *next
			}
			return nil
		})
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("read how far the projections are: %w", err))
	}
	return all, nil
}
