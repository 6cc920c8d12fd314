package broker

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Shares returns how many partitions each member of a consumer group has. It returns nil while the
// group rebalances, or if the group is unknown.
func Shares(ctx context.Context, admin *kadm.Client, group string) ([]int, error) {
	groups, err := admin.DescribeGroups(ctx, group)
	if err != nil {
		return nil, fmt.Errorf("describe group %s: %w", group, err)
	}
	if groups.Error() != nil || groups[group].State != "Stable" && groups[group].State != "Empty" {
		return nil, nil
	}
	shares := []int{}
	for _, m := range groups[group].Members {
		n := 0
		if a, ok := m.Assigned.AsConsumer(); ok {
			for _, topic := range a.Topics {
				n += len(topic.Partitions)
			}
		}
		shares = append(shares, n)
	}
	return shares, nil
}

// Count returns how many records were ever written to the topics whose names end in suffix.
func Count(ctx context.Context, admin *kadm.Client, suffix string) (n int64, err error) {
	ends, err := admin.ListEndOffsets(ctx)
	if err != nil {
		return 0, fmt.Errorf("count the records of *%s: %w", suffix, err)
	}
	ends.Each(func(o kadm.ListedOffset) {
		if strings.HasSuffix(o.Topic, suffix) {
			n += o.Offset
		}
	})
	return n, nil
}
