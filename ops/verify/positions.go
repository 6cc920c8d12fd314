package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
)

// positions reads what the groups that store positions have handled. The others have no such table.
func (f *Facts) positions(ctx context.Context, conns map[string]*pgx.Conn) error {
	for _, service := range installed(conns) {
		c := conns[service]
		var there bool
		if err := c.QueryRow(ctx, `SELECT to_regclass('consumer_positions') IS NOT NULL`).Scan(&there); err != nil {
			return fmt.Errorf("%s: %w", service, err)
		}
		if !there {
			continue
		}
		rows, err := collect(ctx, c, `SELECT consumer_group, topic, topic_id, topic_partition, next_offset FROM consumer_positions ORDER BY 1, 2, 3, 4`,
			func(r pgx.CollectableRow) (p Position, err error) {
				p.Service = service
				return p, r.Scan(&p.Group, &p.Topic, &p.TopicID, &p.Partition, &p.Next)
			})
		if err != nil {
			return fmt.Errorf("%s: %w", service, err)
		}
		f.positioned, f.Positions = append(f.positioned, service), append(f.Positions, rows...)
	}
	return nil
}

// place drops the positions of topics that were deleted, or deleted and created again. A partition
// that has had no record since its group stores positions has none. Its records have receipts, but
// these may all have been pruned. Then the offset that the group has committed in Kafka counts.
func (f *Facts) place(ctx context.Context, adm *kadm.Client, topics kadm.TopicDetails) error {
	f.Positions = slices.DeleteFunc(f.Positions, func(p Position) bool {
		t, ok := topics[p.Topic]
		return !ok || uuid.UUID(t.ID) != p.TopicID
	})
	next := reached(*f)
	for _, group := range f.positioned {
		if slices.ContainsFunc(f.Inbox, func(row InboxRow) bool { return row.Group == group }) {
			continue
		}
		committed, err := adm.FetchOffsets(ctx, group)
		if err != nil {
			return err
		}
		committed.Each(func(o kadm.OffsetResponse) {
			t, ok := topics[o.Topic]
			if _, stored := next[partitionOf{group, partition{o.Topic, o.Partition}}]; ok && !stored && o.Err == nil && o.At > 0 {
				f.Positions = append(f.Positions, Position{group, group, o.Topic, uuid.UUID(t.ID), o.Partition, o.At})
			}
		})
	}
	return nil
}

// partitionOf is what a position is of.
type partitionOf struct {
	group string
	partition
}

// reached returns the positions by group and partition.
func reached(f Facts) map[partitionOf]int64 {
	next := make(map[partitionOf]int64, len(f.Positions))
	for _, p := range f.Positions {
		next[partitionOf{p.Group, partition{p.Topic, p.Partition}}] = p.Next
	}
	return next
}
